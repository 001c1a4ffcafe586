package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// uwimap reads a line of the University of Washington's imapd or ipop3d, or of
// Panda, its child:
//
//	Login failed user=alice auth=alice host=mx.example [192.0.2.7]
//	AUTHENTICATE PLAIN failure host=mx.example [192.0.2.7]
//	Authenticated user=alice host=mx.example [192.0.2.7]
//
// The client is last, and its name has no blank.
func (p *Parser) uwimap(m string) (Class, string) {
	outcome := score.Failure
	who, mech := "", ""
	switch {
	case strings.HasPrefix(m, "Login failed "):
		who = m[len("Login failed "):]
	case strings.HasPrefix(m, "Login excessive login failures "):
		return Login, whyElsewhere // each has its line
	case strings.HasPrefix(m, "Login disabled "):
		return Login, whyNotVerified
	case strings.HasPrefix(m, "Login user="), strings.HasPrefix(m, "Authenticated user="):
		_, who, _ = strings.Cut(m, " ")
		outcome = score.Success
	case strings.HasPrefix(m, "AUTHENTICATE "):
		var ok bool
		if mech, who, ok = strings.Cut(m[len("AUTHENTICATE "):], " failure "); !ok || mechanism(mech) == "" {
			return p.unknown(m)
		}
		who = " " + who
	default:
		return p.unknown(m)
	}
	at := strings.LastIndex(who, " host=")
	if at < 0 {
		return p.unknown(m)
	}
	client, tail, ok := hostAddress(who[at+len(" host="):])
	if !ok || strings.TrimSpace(tail) != "" {
		return Login, whyNoAddress
	}
	if p.maybeCut() {
		return Login, whyAmbiguous
	}
	// The login is told twice, but for an administrator who logs in as another.
	login, _ := strings.CutPrefix(who[:at], "user=")
	if i := strings.LastIndex(login, " auth="); i >= 0 {
		login = login[:i]
	}
	if outcome == score.Success && login == "" {
		return Other, ""
	}
	p.found(client, login, mech, outcome, 1)
	return Login, ""
}
