package maillog

import "strings"

// program is how the lines of a program are read. The zero program is none that
// is known.
type program struct {
	name    string // a copy that stays
	kind    string
	service string
	read    func(p *Parser, message string) (Class, string) // nil: none of its lines is of interest
	passes  func(message string) bool                       // tells of most lines that are not; nil: of none
}

// What bounds the names of programs that are kept. Whoever may write to the log can
// name himself as he likes.
const (
	maxPrograms = 1024
	maxName     = 96 // bytes; RFC 5424 allows 48
)

// programs remembers how the lines of programs are read, those that were seen last
// without a search.
type programs struct {
	all  map[string]*program
	last [16]*program
}

// of finds out once how lines of the program with this name are read.
func (p *programs) of(name string) *program {
	name = name[:min(len(name), maxName)]
	slot := &p.last[0]
	if n := len(name); n > 0 {
		slot = &p.last[(7*n+int(name[n-1])+int(name[n/2]))%len(p.last)]
	}
	if *slot != nil && (*slot).name == name {
		return *slot
	}
	prog := p.all[name]
	if prog == nil {
		found := lookUp(name)
		prog = &found
		prog.name = strings.Clone(name)
		if p.all == nil || len(p.all) >= maxPrograms {
			p.all = map[string]*program{}
		}
		p.all[prog.name] = prog
	}
	*slot = prog
	return prog
}

// lookUp finds a program by its name. Many programs called imapd are told apart by
// their messages only.
func lookUp(name string) program {
	if strings.HasPrefix(name, "postfix") {
		return postfixProgram(name)
	}
	switch name {
	case "":
		return program{}
	case "dovecot":
		return program{kind: "dovecot", read: (*Parser).dovecot, passes: dovecotPasses}
	case "auth", "auth-worker", "dovecot-auth": // the name under which PAM logs for it, and that of Dovecot 1
		return program{kind: "dovecot", read: (*Parser).dovecotAuth}
	case "sendmail", "sm-mta", "sm-acceptingconnections":
		return program{kind: "sendmail", service: "smtp", read: (*Parser).sendmail}
	case "saslauthd":
		return program{kind: "saslauthd", read: (*Parser).saslauthd}
	case "exim", "exim4":
		return program{kind: "exim", service: "smtp", read: (*Parser).exim}
	case "smtpd":
		return program{kind: "opensmtpd", service: "smtp", read: (*Parser).opensmtpd}
	case "courieresmtpd", "courieresmtpd-ssl", "courieresmtpd-msa", "esmtpd", "esmtpd-ssl", "esmtpd-msa":
		return program{kind: "courier", service: "smtp", read: (*Parser).courierSMTP}
	case "roundcube":
		return program{kind: "roundcube", read: (*Parser).roundcubeLine}
	case "sogod":
		return program{kind: "sogo", read: (*Parser).sogo}
	case "zimbra":
		return program{kind: "zimbra", read: (*Parser).zimbra}
	}
	if strings.HasPrefix(name, "perdition") {
		return program{kind: "perdition", service: protocol(name), read: (*Parser).perdition}
	}
	if service := mailboxService(name); service != "" {
		return program{kind: "mailbox", service: service, read: (*Parser).mailbox}
	}
	for _, part := range [...]string{"mail", "imap", "pop3", "smtp", "sieve", "sasl", "dovecot"} {
		if strings.Contains(name, part) {
			return program{kind: "mail", read: (*Parser).unknown}
		}
	}
	return program{}
}

// mailboxService returns what a program called imapd, cyrus/imaps, pop3d-ssl,
// courierpop3login, ipop3d or the like serves.
func mailboxService(name string) string {
	base := name[strings.LastIndexByte(name, '/')+1:]
	base = strings.TrimPrefix(strings.TrimPrefix(base, "courier-"), "courier")
	base = strings.TrimSuffix(base, "-ssl")
	switch base {
	case "imap", "imaps", "imapd", "imaplogin", "pop3", "pop3s", "pop3d", "pop3login", "ipop2d", "ipop3d", "sieve", "sieved", "timsieved":
		return protocol(base)
	}
	return ""
}

func protocol(name string) string {
	switch {
	case strings.Contains(name, "imap"):
		return "imap"
	case strings.Contains(name, "pop"):
		return "pop3"
	case strings.Contains(name, "sieve"):
		return "sieve"
	default:
		return ""
	}
}
