package maillog

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/score"
)

// sendmail reads a line of sendmail, "id: text". A failure is told with its client
// since 8.14, and with the login since 8.16:
//
//	s0QBU1Ir002370: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): …, user=alice, relay=mx.example [192.0.2.7]
//
// Before that the client is in another line of the same process, with lines of
// others in between: before it in "connect from", or after it in the line with the
// same id that says what was not issued. saslauthd's own lines carry no address.
func (p *Parser) sendmail(m string) (Class, string) {
	if rest, ok := strings.CutPrefix(m, "AUTH=server, relay="); ok {
		return p.sendmailSuccess(rest)
	}
	id, rest, ok := strings.Cut(m, ": ")
	if !ok || len(id) < 6 || len(id) > 20 || !all(id, "") {
		return p.unknown(m)
	}
	if rest, ok := strings.CutPrefix(rest, "connect from "); ok {
		client, _, known := hostAddress(rest)
		if k, ok := p.byProcess(); ok && known {
			p.sessions.put(k, p.line.At, session{client: client})
		}
		return Other, ""
	}
	if rest, ok := strings.CutPrefix(rest, "AUTH failure ("); ok {
		return p.sendmailFailure(id, rest)
	}
	if rest, ok := strings.CutPrefix(rest, "AUTH=server, relay="); ok {
		return p.sendmailSuccess(rest)
	}
	if strings.HasPrefix(rest, "AUTH") {
		return p.unknown(rest)
	}
	client, rest, ok := hostAddress(rest)
	if !ok {
		return Other, "" // about a message: it quotes the client
	}
	rest = strings.TrimPrefix(rest, " (may be forged)")
	if strings.HasPrefix(rest, " did not issue MAIL/EXPN/VRFY/ETRN during connection to ") {
		return p.sendmailEnd(id, client)
	}
	if rest, ok := strings.CutPrefix(rest, ": possible SMTP attack: command=AUTH, count="); ok {
		// At sendmail's default level the failures themselves are not logged, only
		// that there were too many: all but the last command have failed.
		n, rest, ok := count(rest)
		if k, known := p.byID(id); !ok || rest != "" || !known {
			return Unknown, ""
		} else if s, _ := p.sessions.get(k, p.line.At); s.told || n < 2 {
			return Login, whyElsewhere
		}
		p.found(client, "", "", score.Failure, n-1)
		return Login, ""
	}
	return Other, ""
}

// sendmailFailure reads what follows "AUTH failure (".
func (p *Parser) sendmailFailure(id, m string) (Class, string) {
	mech, rest, ok := strings.Cut(m, "): ")
	if !ok || mechanism(mech) == "" {
		return Login, whyNotVerified
	}
	outcome, why := saslCode(rest)
	if why != "" {
		return Login, why
	}
	k, ok := p.byID(id)
	if !ok {
		return Unknown, ""
	}
	s, _ := p.sessions.get(k, p.line.At)
	s.told = true
	// Where the login may have pushed the relay out of the line, others tell it.
	if at := strings.LastIndex(rest, ", relay="); at >= 0 && !p.maybeCut() {
		client, tail, ok := hostAddress(rest[at+len(", relay="):])
		if tail = strings.TrimPrefix(tail, " (may be forged)"); !ok || tail != "" {
			return Login, whyNoAddress
		}
		p.sessions.put(k, p.line.At, s)
		p.found(client, sendmailUser(rest[:at]), mech, outcome, 1)
		return Login, ""
	}
	if process, ok := p.byProcess(); ok {
		if connected, ok := p.sessions.get(process, p.line.At); ok {
			p.sessions.put(k, p.line.At, s)
			p.found(connected.client, "", mech, outcome, 1)
			return Login, ""
		}
	}
	s.waiting = min(s.waiting+1, maxCount)
	s.outcome, s.mech = outcome, mechanism(mech)
	p.sessions.put(k, p.line.At, s)
	return Login, whyLater
}

// sendmailEnd tells of the failures that have waited for their client.
func (p *Parser) sendmailEnd(id string, client netip.Addr) (Class, string) {
	k, ok := p.byID(id)
	if !ok {
		return Other, ""
	}
	s, ok := p.sessions.get(k, p.line.At)
	if !ok || s.waiting == 0 {
		return Other, "" // alone it is no failure
	}
	p.found(client, "", s.mech, s.outcome, int(s.waiting))
	s.waiting = 0
	p.sessions.put(k, p.line.At, s)
	return Login, ""
}

// sendmailUser returns the login, if it is clear which it is.
func sendmailUser(m string) string {
	const user = ", user="
	at := strings.Index(m, user)
	if at < 0 || at != strings.LastIndex(m, user) {
		return ""
	}
	return m[at+len(user):]
}

// sendmailSuccess reads "mx.example [192.0.2.7], authid=alice, mech=PLAIN, bits=0".
func (p *Parser) sendmailSuccess(m string) (Class, string) {
	client, rest, ok := hostAddress(m)
	rest, framed := strings.CutPrefix(strings.TrimPrefix(rest, " (may be forged)"), ", authid=")
	at := strings.LastIndex(rest, ", mech=")
	if !ok || !framed || at < 0 {
		return Other, ""
	}
	mech, _, _ := strings.Cut(rest[at+len(", mech="):], ",")
	p.found(client, rest[:at], mech, score.Success, 1)
	return Login, ""
}

// saslCode reads a result of Cyrus SASL, as "authentication failure (-13)" or
// "SASL(-13): authentication failure": whether a password was wrong.
func saslCode(m string) (outcome score.Outcome, why string) {
	_, rest, ok := strings.Cut(m, "(")
	if !ok {
		return 0, whyNotVerified
	}
	code, _, _ := strings.Cut(rest, ")")
	switch code {
	case "-13": // SASL_BADAUTH
		return score.Failure, ""
	case "-20": // SASL_NOUSER
		return score.UnknownAccount, ""
	case "-1", "-2", "-7", "-12", "-24": // SASL_FAIL, NOMEM, BADPARAM, NOTINIT, UNAVAIL
		return 0, whyBackend
	default:
		return 0, whyNotVerified
	}
}

// saslauthd reads a line of Cyrus SASL's password server, which knows no addresses.
func (p *Parser) saslauthd(m string) (Class, string) {
	if strings.Contains(m, ": auth failure: ") {
		return Login, whyNoAddress
	}
	return Other, ""
}
