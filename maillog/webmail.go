package maillog

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/score"
)

// roundcubeLine reads a line of Roundcube's:
//
//	<session> IMAP Error: Login failed for alice against localhost from 192.0.2.7. AUTHENTICATE PLAIN: … in /… on line 205 (POST /?_task=login)
//	<session> Failed login for alice from 192.0.2.7 in session … (error: 0)
//	<session> Successful login for alice (ID: 1) from 192.0.2.7 in session …
//
// The first is always there, the second tells of the same attempt and is counted
// only where the first has never been seen. What stands after the address may
// repeat the login, so a line in which two addresses could be it is not counted.
func (p *Parser) roundcubeLine(m string) (Class, string) {
	if strings.HasPrefix(m, "<") {
		if _, rest, ok := strings.Cut(m, "> "); ok && strings.IndexByte(m, '>') < 64 {
			m = rest
		}
	}
	outcome := score.Failure
	rest, ok := strings.CutPrefix(m, "IMAP Error: Login failed for ")
	if !ok {
		rest, ok = strings.CutPrefix(m, "IMAP Error: FAILED login for ")
	}
	switch {
	case ok:
		p.roundcube = true
	case strings.HasPrefix(m, "Failed login for "), strings.HasPrefix(m, "FAILED login for "):
		if rest = m[len("Failed login for "):]; p.roundcube {
			return Login, whyElsewhere
		}
	case strings.HasPrefix(m, "Successful login for "):
		rest, outcome = m[len("Successful login for "):], score.Success
	case strings.HasPrefix(m, "IMAP Error"):
		return Other, "" // quotes the server, which may quote the client
	default:
		return p.unknown(m)
	}
	client, login, n := roundcubeFrom(rest)
	switch {
	case n == 0:
		return Login, whyNoAddress
	case n > 1 || p.maybeCut():
		return Login, whyAmbiguous
	}
	mark := " against " // and the server
	if outcome == score.Success {
		mark = " (ID: "
	}
	if at := strings.LastIndex(login, mark); at >= 0 && strings.IndexByte(login[at+len(mark):], ' ') < 0 {
		login = login[:at]
	}
	p.service = ""
	p.found(client, login, "", outcome, 1)
	return Login, ""
}

// roundcubeFrom returns what could be the client, and how many could.
func roundcubeFrom(m string) (client netip.Addr, login string, n int) {
	for at := 0; ; {
		i := strings.Index(m[at:], " from ")
		if i < 0 {
			return client, login, n
		}
		start := at + i + len(" from ")
		text := m[start:]
		end := strings.IndexAny(text, " (,")
		if end < 0 {
			end = len(text)
		}
		text = strings.TrimRight(text[:end], ".")
		if addr, ok := address(text); ok {
			client, login = addr, m[:at+i]
			n++
		}
		at = start - 1 // the blank may begin the next
	}
}

// sogo reads a line of SOGo's, where the client comes first:
//
//	SOGoRootPage Login from '192.0.2.7' for user 'alice' might not have worked - password policy: …
//	SOGoRootPage successful login from '192.0.2.7' for user 'alice' - expire = …
//
// Where proxies have told the address, the last is what the nearest of them has
// seen; the others are the client's word.
func (p *Parser) sogo(m string) (Class, string) {
	outcome := score.Failure
	rest, ok := strings.CutPrefix(m, "SOGoRootPage Login from '")
	if !ok {
		if rest, ok = strings.CutPrefix(m, "SOGoRootPage successful login from '"); !ok {
			return Other, "" // of LDAP and of requests, without a client
		}
		outcome = score.Success
	}
	from, rest, ok := strings.Cut(rest, "' for user '")
	if at := strings.LastIndex(from, ", "); at >= 0 {
		from = from[at+2:]
	}
	client, known := address(from)
	end := strings.LastIndexByte(rest, '\'')
	if !ok || !known || end < 0 {
		return Unknown, ""
	}
	if outcome == score.Failure && !strings.HasPrefix(rest[end:], "' might not have worked") {
		return Unknown, ""
	}
	p.found(client, rest[:end], "", outcome, 1)
	return Login, ""
}
