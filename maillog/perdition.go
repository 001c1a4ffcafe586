package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// perdition reads a line of the IMAP and POP3 proxy, where the client comes first:
//
//	Auth: 192.0.2.7:4711->192.0.2.1:993 client-secure=ssl authorisation_id=NONE authentication_id="alice" server="…" protocol=IMAP4S server-secure=plaintext status="failed: Re-Authentication Failure"
func (p *Parser) perdition(m string) (Class, string) {
	rest, ok := strings.CutPrefix(m, "Auth: ")
	if !ok {
		return Other, ""
	}
	from, rest, ok := strings.Cut(rest, "->")
	colon := strings.LastIndexByte(from, ':')
	at := strings.LastIndex(rest, ` status="`)
	if !ok || colon < 0 || at < 0 {
		return p.unknown(m)
	}
	if p.maybeCut() { // its end says whether the login succeeded
		return Login, whyAmbiguous
	}
	client, ok := address(strings.Trim(from[:colon], "[]"))
	if !ok {
		return Unknown, ""
	}
	_, login, _ := strings.Cut(rest[:at], `authentication_id="`)
	if end := strings.LastIndex(login, `" server="`); end >= 0 {
		login = login[:end]
	}
	switch status := rest[at+len(` status="`):]; status {
	case `ok"`:
		p.found(client, login, "", score.Success, 1)
	case `failed: local authentication failure"`, `failed: Re-Authentication Failure"`, `failed: authentication failure"`:
		p.found(client, login, "", score.Failure, 1)
	default:
		return Login, whyBackend
	}
	return Login, ""
}
