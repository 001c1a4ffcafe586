package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// dovecotLogin reads the line in which a login process says how a connection ended
// or a login succeeded:
//
//	Disconnected: Connection closed (auth failed, 2 attempts in 1 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=…
//	Login aborted: Connection closed (auth failed, 3 attempts in 16 secs) (auth_failed): user=<alice>, …
//	Login: user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=7, TLS, session=<…>
//
// What is before "user=" is Dovecot's own, except where a line quotes a client
// from its first word on (ID sent: …), and those are not read.
func (p *Parser) dovecotLogin(m string) (Class, string) {
	if rest, ok := strings.CutPrefix(m, "Login: "); ok {
		return p.dovecotSuccess(rest)
	}
	if rest, ok := strings.CutPrefix(m, "Logged in: "); ok {
		return p.dovecotSuccess(rest)
	}
	ended := false
	for _, end := range [...]string{"Disconnected", "Login aborted", "Aborted login", "Remote closed connection", "Client has quit the connection", "Connection closed", "Inactivity"} {
		if ended = strings.HasPrefix(m, end); ended {
			break
		}
	}
	if !ended {
		for _, quoting := range [...]string{"ID sent", "proxy(", "Started proxying", "TLS", "SSL", "Maximum number of connections"} {
			if strings.HasPrefix(m, quoting) {
				return Other, ""
			}
		}
		return p.unknown(m)
	}
	about, fields := dovecotFields(m)
	for rest, ok := about, true; ok; { // an error of TLS has brackets, too
		if _, rest, ok = strings.Cut(rest, "("); ok {
			if n, why := dovecotEnd(rest); n > 0 || why != "" {
				return p.dovecotFailure(n, why, fields)
			}
		}
	}
	return p.unknown(about) // no login was tried
}

// dovecotFields splits a line before its fields.
func dovecotFields(m string) (about, fields string) {
	at := strings.Index(m, "user=")
	if rip := strings.Index(m, "rip="); at < 0 || rip >= 0 && rip < at {
		at = rip
	}
	if method := strings.Index(m, "method="); at < 0 || method >= 0 && method < at {
		at = method
	}
	if at < 0 {
		return m, ""
	}
	return m[:at], m[at:]
}

// dovecotEnd reads what is in brackets about why a connection ended without a
// login: how many attempts had failed, or why none is counted. It is neither for
// what says nothing of it.
func dovecotEnd(m string) (attempts int, why string) {
	if rest, ok := strings.CutPrefix(m, "auth failed, "); ok {
		if n, rest, ok := count(rest); ok && strings.HasPrefix(rest, " attempts") {
			return max(n, 1), ""
		}
		return 0, ""
	}
	for _, end := range [...]struct{ begins, why string }{
		{"no auth attempts", whyNotVerified},
		{"tried to use ", whyNotVerified},
		{"disconnected before auth was ready", whyNotVerified},
		{"client didn't finish", whyNotVerified},
		{"aborted authentication", whyNotVerified},
		{"login disabled", whyNotVerified},
		{"cert required", whyNotVerified},
		{"client sent an invalid cert", whyNotVerified},
		{"client didn't send a cert", whyNotVerified},
		{"auth process", whyBackend},
		{"auth service", whyBackend},
		{"internal failure", whyBackend},
		{"disconnected while", whyBackend},
		{"authorization failed", whyAuthorized},
		{"maximum number of connections", whyAuthorized},
	} {
		if strings.HasPrefix(m, end.begins) {
			return 0, end.why
		}
	}
	if strings.HasPrefix(m, "proxy dest auth failed") {
		return 1, ""
	}
	return 0, ""
}

// dovecotFailure yields the attempts of a connection that ended without a login.
func (p *Parser) dovecotFailure(n int, why, fields string) (Class, string) {
	switch {
	case why != "":
		return Login, why
	case p.counted != DovecotLogin:
		return Login, whyElsewhere
	}
	f, ok := dovecotWho(fields)
	if !ok {
		return Unknown, ""
	}
	if p.maybeCut() {
		return Login, whyAmbiguous
	}
	p.found(f.client, f.login, f.mech, score.Failure, n)
	return Login, ""
}

func (p *Parser) dovecotSuccess(fields string) (Class, string) {
	f, ok := dovecotWho(fields)
	if !ok || f.login == "" || p.maybeCut() {
		return Login, whyAmbiguous
	}
	p.found(f.client, f.login, f.mech, score.Success, 1)
	return Login, ""
}
