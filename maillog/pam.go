package maillog

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/score"
)

// pam reads what pam_unix logs in the name of a mail program:
//
//	pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=alice rhost=192.0.2.7  user=alice
//
// ruser is the login as it was sent, and can hold the rest of such a line. A line
// that can be read in two ways is not counted.
func (p *Parser) pam(m string) (Class, string) {
	service, rest, ok := strings.Cut(m, ":auth): ")
	if !ok {
		return Other, ""
	}
	rest, ok = strings.CutPrefix(rest, "authentication failure; ")
	if !ok {
		return Other, ""
	}
	switch service {
	case "dovecot":
		p.service = ""
		if p.counted != DovecotPAM {
			return Login, whyElsewhere
		}
	case "smtp", "submission", "imap", "pop3", "sieve":
		p.service = service
	case "pop":
		p.service = "pop3"
	case "mail", "exim", "exim4", "courier", "cyrus":
		p.service = ""
	default:
		return Other, ""
	}
	if p.kind == "uw-imap" || p.kind == "mailbox" {
		p.kind = "pam"
		return Login, whyElsewhere // imapd has a line of its own
	}
	p.kind = "pam"
	_, rest, ok = strings.Cut(rest, " ruser=")
	if !ok {
		return Unknown, ""
	}
	client, login, n := pamClient(rest)
	switch {
	case n > 1 || n == 1 && p.maybeCut():
		return Login, whyAmbiguous
	case n == 0:
		return Login, whyNoAddress
	}
	p.found(client, login, "", score.Failure, 1)
	return Login, ""
}

// pamClient reads "alice rhost=192.0.2.7  user=alice" in every way in which it can
// be read, and returns how many those are.
func pamClient(m string) (client netip.Addr, login string, n int) {
	for at := 0; ; {
		i := strings.Index(m[at:], " rhost=")
		if i < 0 {
			return client, login, n
		}
		ruser := m[:at+i]
		at += i + len(" rhost=")
		host, user, _ := strings.Cut(strings.TrimRight(m[at:], " "), " ")
		user, named := strings.CutPrefix(strings.TrimLeft(user, " "), "user=")
		if !named && user != "" || named && ruser != "" && user != ruser {
			continue
		}
		addr, ok := address(host)
		if !ok {
			continue
		}
		if n++; ruser == "" {
			ruser = user
		}
		client, login = addr, ruser
	}
}
