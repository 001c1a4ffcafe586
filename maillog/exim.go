package maillog

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/score"
)

// exim reads a line of Exim's main log:
//
//	login authenticator failed for mx.example (helo) [192.0.2.7]:4711 I=[192.0.2.1]:587: 535 Incorrect authentication data (set_id=alice)
//	1rKxyz-000abc-1X <= alice@example.org H=mx.example (helo) [192.0.2.7]:4711 P=esmtpsa X=… A=plain:alice S=…
//
// The HELO name is the client's own word, and Exim can be told to accept any. So it
// must be one without brackets, or an address literal and nothing else, and the
// end of another must not follow, for what is behind it to be the address.
func (p *Parser) exim(m string) (Class, string) {
	if at, rest, ok := p.stamps.iso(m); ok && strings.HasPrefix(rest, " ") { // it writes the time also to syslog
		p.line.At, m = at, rest[1:]
		if pid, rest, ok := strings.Cut(m, "] "); ok && strings.HasPrefix(pid, "[") && all(pid[1:], "") {
			m = rest
		}
	}
	name, rest, ok := strings.Cut(m, " ")
	if !ok || !all(name, "_-") {
		return Other, ""
	}
	if rest, ok := strings.CutPrefix(rest, "authenticator failed for "); ok {
		return p.eximFailure(name, rest)
	}
	if rest, ok := strings.CutPrefix(rest, "<= "); ok {
		return p.eximSuccess(rest)
	}
	return Other, "" // whatever else there is quotes the client
}

// eximFailure reads what follows "for".
func (p *Parser) eximFailure(authenticator, m string) (Class, string) {
	client, rest, ok := eximHost(strings.TrimPrefix(m, "H="))
	if !ok {
		return Login, whyAmbiguous
	}
	if after, ok := strings.CutPrefix(rest, " I="); ok {
		if _, rest, ok = bracketed(after); !ok {
			return Login, whyAmbiguous
		}
		rest = skipPort(rest)
	}
	if strings.HasPrefix(rest, ": 435 ") {
		return Login, whyBackend
	}
	if strings.HasPrefix(rest, ": 501 ") { // cancelled, or no base64
		return Login, whyNotVerified
	}
	rest, ok = strings.CutPrefix(rest, ": 535 Incorrect authentication data")
	if !ok {
		return p.unknown(m)
	}
	login := ""
	if id, ok := strings.CutPrefix(rest, " (set_id="); ok {
		login = strings.TrimSuffix(id, ")")
	}
	p.found(client, login, eximMech(authenticator), score.Failure, 1)
	return Login, ""
}

// eximHost reads "name (helo) [address]:port", of which name and helo may be
// missing.
func eximHost(m string) (client netip.Addr, rest string, ok bool) {
	i := strings.IndexAny(m, " ([")
	if i < 0 {
		return client, m, false
	}
	if m[i] == ' ' {
		i++
	}
	m = m[i:]
	if strings.HasPrefix(m, "(") {
		end := strings.IndexByte(m, ')')
		if end < 0 {
			return client, m, false
		}
		helo := m[1:end]
		if strings.HasPrefix(helo, "[") && strings.HasSuffix(helo, "]") {
			helo = helo[1 : len(helo)-1]
		}
		if strings.ContainsAny(helo, "[]()") || !strings.HasPrefix(m[end:], ") ") {
			return client, m, false
		}
		m = m[end+2:]
	}
	client, rest, ok = bracketed(m)
	return client, skipPort(rest), ok && !strings.Contains(rest, ") [")
}

// eximSuccess reads the arrival of a message, which tells of a login where its
// protocol ends in an a. Nothing between the client's address and the login is the
// client's word, unless Exim asks for its ident.
func (p *Parser) eximSuccess(m string) (Class, string) {
	sender, rest, _ := strings.Cut(m, " ")
	rest, ok := strings.CutPrefix(rest, "H=")
	if !ok || strings.HasPrefix(sender, `"`) {
		return Other, ""
	}
	client, rest, ok := eximHost(rest)
	authenticated := false
	for ok && rest != "" {
		var field string
		field, rest, _ = strings.Cut(strings.TrimPrefix(rest, " "), " ")
		switch {
		case strings.HasPrefix(field, "P="):
			authenticated = field == "P=esmtpa" || field == "P=esmtpsa" || field == "P=asmtp"
		case strings.HasPrefix(field, "A=") && authenticated:
			name, login, _ := strings.Cut(field[len("A="):], ":")
			if login == "" {
				return Other, ""
			}
			p.found(client, login, eximMech(name), score.Success, 1)
			return Login, ""
		case strings.HasPrefix(field, "U="), strings.HasPrefix(field, "S="):
			return Other, ""
		}
	}
	return Other, ""
}

// eximMech guesses the mechanism from the name that an operator gave his
// authenticator.
func eximMech(name string) string {
	switch lower := strings.ToLower(name); {
	case strings.Contains(lower, "plain"):
		return "PLAIN"
	case strings.Contains(lower, "login"):
		return "LOGIN"
	case strings.Contains(lower, "cram"):
		return "CRAM-MD5"
	default:
		return ""
	}
}
