package maillog

import (
	"strings"
)

// dovecotService tells whether a process of Dovecot has this name. In Dovecot's own
// log it stands where others have a host.
func dovecotService(name string) bool {
	switch name {
	case "imap-login", "pop3-login", "managesieve-login", "submission-login", "auth", "auth-worker", "master", "imap", "pop3",
		"managesieve", "submission", "lmtp", "lda", "log", "config", "anvil", "stats", "old-stats", "director", "doveadm",
		"dict", "dict-async", "indexer", "indexer-worker", "replicator", "aggregator", "ipc", "ssl-params", "imap-urlauth-login",
		"imap-hibernate", "script", "script-login", "quota-status", "dns-client", "sieve", "doveconf", "health-check":
		return true
	}
	return false
}

// dovecotPasses tells of the lines of those processes that serve whoever has logged in.
func dovecotPasses(m string) bool {
	for _, name := range [...]string{"imap", "pop3", "lmtp"} {
		if rest, ok := strings.CutPrefix(m, name); ok {
			return rest != "" && rest[0] == '('
		}
	}
	return false
}

// dovecot reads a line of one of Dovecot's processes: the message begins with its
// name.
func (p *Parser) dovecot(m string) (Class, string) {
	name := m[:nameEnd(m)]
	rest := m[len(name):]
	switch name {
	case "imap-login":
		p.service = "imap"
	case "pop3-login":
		p.service = "pop3"
	case "managesieve-login":
		p.service = "sieve"
	case "submission-login":
		p.service = "submission"
	case "auth", "auth-worker":
		p.service = ""
		return p.dovecotAuth(rest)
	case "dovecot": // dovecot: auth(default): …, of old versions
		if rest, ok := strings.CutPrefix(rest, ": "); ok && !strings.HasPrefix(rest, "dovecot") {
			return p.dovecot(rest)
		}
		return Other, ""
	default:
		// Everything after the login is about users whom Dovecot knows, and quotes
		// their mail.
		if dovecotService(name) {
			return Other, ""
		}
		return p.unknown(m)
	}
	if strings.HasPrefix(rest, ": Debug: ") {
		return Other, ""
	}
	if rest, ok := strings.CutPrefix(rest, "("); ok { // (1234) or (default)
		if _, rest, ok = strings.Cut(rest, ")"); ok {
			return p.dovecotLogin(level(strings.TrimPrefix(rest, ": ")))
		}
	}
	return p.dovecotLogin(level(strings.TrimPrefix(rest, ": ")))
}

// level drops the level that Dovecot's own log has before a text.
func level(m string) string {
	for _, l := range [...]string{"Info: ", "Warning: ", "Error: ", "Fatal: ", "Panic: ", "Debug: "} {
		if rest, ok := strings.CutPrefix(m, l); ok {
			return rest
		}
	}
	return m
}
