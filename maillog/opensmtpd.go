package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// opensmtpd reads a line of OpenSMTPD, "session smtp text". The client is in the
// same line in some versions, in that of the connection in others:
//
//	f1ab2c3d4e5f6071 smtp connected address=192.0.2.7 host=mx.example
//	f1ab2c3d4e5f6071 smtp authentication user=alice result=permfail
//	f1ab2c3d4e5f6071 smtp event=authentication user=alice address=192.0.2.7 host=mx.example result=permfail
//
// Blanks in a login are written otherwise, so words are what they seem.
func (p *Parser) opensmtpd(m string) (Class, string) {
	id, rest, ok := strings.Cut(m, " smtp ")
	if !ok || len(id) != 16 || !all(id, "") {
		return p.unknown(m)
	}
	rest = strings.TrimPrefix(rest, "event=")
	k, ok := p.byID(id)
	if !ok {
		return Other, ""
	}
	if rest, ok := strings.CutPrefix(rest, "connected "); ok {
		if client, ok := address(strings.Trim(word(rest, "address="), "[]")); ok {
			p.sessions.put(k, p.line.At, session{client: client})
		}
		return Other, ""
	}
	rest, ok = strings.CutPrefix(rest, "authentication ")
	if !ok {
		return Other, "" // it quotes the client
	}
	client, ok := address(strings.Trim(word(rest, "address="), "[]"))
	if !ok {
		s, known := p.sessions.get(k, p.line.At)
		if !known {
			return Login, whyNoAddress
		}
		client = s.client
	}
	login := word(rest, "user=")
	switch word(rest, "result=") {
	case "ok":
		p.found(client, login, "", score.Success, 1)
	case "permfail":
		p.found(client, login, "", score.Failure, 1)
	case "tempfail":
		return Login, whyBackend
	default:
		return Unknown, ""
	}
	return Login, ""
}

// word returns the value of the first word that begins with name.
func word(m, name string) string {
	for m != "" {
		var w string
		w, m, _ = strings.Cut(m, " ")
		if value, ok := strings.CutPrefix(w, name); ok {
			return value
		}
	}
	return ""
}
