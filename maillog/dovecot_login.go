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
	open := strings.IndexByte(about, '(')
	if open < 0 {
		return Other, "" // no login was tried
	}
	return p.dovecotEnd(about[open+1:], fields)
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

// dovecotEnd reads why a connection ended without a login.
func (p *Parser) dovecotEnd(why, fields string) (Class, string) {
	n := 1
	switch {
	case strings.HasPrefix(why, "auth failed, "):
		var ok bool
		if n, _, ok = count(why[len("auth failed, "):]); !ok {
			return Unknown, ""
		}
	case strings.HasPrefix(why, "proxy dest auth failed"):
	case strings.HasPrefix(why, "no auth attempts"), strings.HasPrefix(why, "tried to use "), strings.HasPrefix(why, "disconnected before auth was ready"),
		strings.HasPrefix(why, "client didn't finish"), strings.HasPrefix(why, "aborted authentication"), strings.HasPrefix(why, "login disabled"),
		strings.HasPrefix(why, "cert required"), strings.HasPrefix(why, "client sent an invalid cert"), strings.HasPrefix(why, "client didn't send a cert"):
		return Login, whyNotVerified
	case strings.HasPrefix(why, "auth process"), strings.HasPrefix(why, "auth service"), strings.HasPrefix(why, "internal failure"),
		strings.HasPrefix(why, "disconnected while"), strings.HasPrefix(why, "authorization failed"), strings.HasPrefix(why, "proxy "),
		strings.HasPrefix(why, "maximum number of connections"):
		return Login, whyBackend
	default:
		return p.unknown(why)
	}
	if p.counted != DovecotLogin {
		return Login, whyElsewhere
	}
	f, ok := p.dovecotWho(fields)
	if !ok {
		return Unknown, ""
	}
	p.found(f.client, f.login, f.mech, score.Failure, n)
	return Login, ""
}

func (p *Parser) dovecotSuccess(fields string) (Class, string) {
	f, ok := p.dovecotWho(fields)
	if !ok || f.login == "" {
		return Login, whyAmbiguous
	}
	p.found(f.client, f.login, f.mech, score.Success, 1)
	return Login, ""
}
