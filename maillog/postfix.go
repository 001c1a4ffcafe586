package maillog

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/score"
)

// postfixProgram tells which of Postfix's processes a name is: instances are called
// postfix-out, services stand between, and syslog_name may be any of
// postfix/submission, postfix-in/smtps and so on. Only smtpd speaks to clients that
// log in. What the others log is full of what strangers have said, so their lines
// are never looked at.
func postfixProgram(name string) program {
	rest := strings.TrimPrefix(name, "postfix")
	if rest != "" && rest[0] != '/' && rest[0] != '-' {
		return program{}
	}
	smtpd := program{kind: "postfix", service: "smtp", read: (*Parser).postfix, passes: postfixPasses}
	_, rest, sub := strings.Cut(rest, "/")
	if !sub { // RFC 5424 in rsyslog cuts the name at the slash
		return smtpd
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch {
		case part == "smtpd" && rest == "":
			return smtpd
		case part == "smtps", part == "submissions":
			smtpd.service = "submissions"
		case strings.HasPrefix(part, "submission"):
			smtpd.service = "submission"
		}
	}
	return program{kind: "postfix"}
}

// postfix reads a line of smtpd.
func (p *Parser) postfix(m string) (Class, string) {
	switch {
	case strings.HasPrefix(m, "warning: "):
		return p.postfixWarning(m[len("warning: "):])
	case strings.HasPrefix(m, "NOQUEUE: client="): // before a filter has taken the message
		return p.postfixClient(m[len("NOQUEUE: client="):])
	}
	if postfixQuotes(m) {
		return Other, ""
	}
	if id, rest, ok := strings.Cut(m, ": "); ok && len(id) >= 5 && len(id) <= 24 && all(id, "") {
		if rest, ok := strings.CutPrefix(rest, "client="); ok {
			return p.postfixClient(rest)
		}
		return Other, ""
	}
	return p.postfixOther(m)
}

// postfixPasses tells of the lines that smtpd writes of every connection, and of every
// message that is taken without a login.
func postfixPasses(m string) bool {
	switch {
	case m == "":
		return false
	case m[0] == 'c':
		return strings.HasPrefix(m, "connect from ")
	case m[0] == 'd':
		return strings.HasPrefix(m, "disconnect from ")
	case m[0] == 'l':
		return strings.HasPrefix(m, "lost connection after ")
	}
	// "4F1234ABCD: client=host[address]": what says of a login comes after a comma.
	i := 0
	for i < len(m) && i < 25 && isAlnum(m[i]) {
		i++
	}
	return i >= 5 && i < 25 && strings.HasPrefix(m[i:], ": client=") && strings.IndexByte(m[i:], ',') < 0
}

// postfixQuotes tells of a message that says what a client has sent: none of them is
// looked at further.
func postfixQuotes(m string) bool {
	if m == "" {
		return false
	}
	for _, known := range &quotesOfPostfix {
		if known[0] == m[0] && strings.HasPrefix(m, known) {
			return true
		}
	}
	return false
}

var quotesOfPostfix = [...]string{
	"connect from ", "disconnect from ", "lost connection after ", "NOQUEUE: ", "timeout after ", "too many errors after ",
	"improper command pipelining ", "discarding EHLO keywords", "SSL_accept error from ", "setting up TLS ",
	"Anonymous TLS connection ", "Untrusted TLS connection ", "Trusted TLS connection ", "Verified TLS connection ",
	"error: ", "table ",
}

// postfixWarning reads "host[address]:port: SASL MECHANISM authentication failed:
// reason, sasl_username=login". Everything up to the colon after the address is
// Postfix's own: the host has no bracket and no blank, so what a client calls its
// mechanism, or sends instead of a command, is always behind it.
func (p *Parser) postfixWarning(m string) (Class, string) {
	if strings.HasPrefix(m, "SASL ") { // of the library, for all clients
		return Login, whyNoAddress
	}
	client, rest, ok := postfixHost(m)
	if !ok {
		return p.postfixOther(m)
	}
	rest, ok = strings.CutPrefix(skipPort(rest), ": SASL ")
	if !ok {
		return p.postfixOther(m)
	}
	mech, rest, ok := strings.Cut(rest, " authentication ")
	if !ok || mechanism(mech) == "" {
		return Login, whyNotVerified
	}
	rest, ok = strings.CutPrefix(rest, "failed")
	if !ok {
		if strings.HasPrefix(rest, "aborted") {
			return Login, whyAborted
		}
		return p.unknown(m)
	}
	if rest != "" && !strings.HasPrefix(rest, ":") && !strings.HasPrefix(rest, ",") {
		return p.unknown(m)
	}
	reason, login, _ := strings.Cut(rest, ", sasl_username=")
	outcome, why := postfixReason(strings.TrimPrefix(strings.TrimPrefix(reason, ":"), " "))
	if login == "(unavailable)" {
		if login = ""; strings.HasSuffix(reason, "(reason unavailable)") {
			why = whyBackend // Dovecot names the login of every password it has verified
		}
	}
	if why == "" && p.counted == DovecotAuth && !strings.HasPrefix(reason, ": authentication failure") && outcome != score.UnknownAccount {
		why = whyElsewhere // not Cyrus SASL's words: Dovecot has verified it, and tells
	}
	if why != "" {
		return Login, why
	}
	p.found(client, login, mech, outcome, 1)
	return Login, ""
}

// postfixHost splits "host[address]rest", where no blank is in between.
func postfixHost(m string) (client netip.Addr, rest string, ok bool) {
	i := strings.IndexByte(m, '[')
	if i <= 0 || strings.IndexByte(m[:i], ' ') >= 0 {
		return client, m, false
	}
	return bracketed(m[i:])
}

// postfixReason tells by the reason whether a password was wrong. It is Dovecot's
// or Cyrus SASL's word, or the last thing the server said, in base64.
func postfixReason(reason string) (outcome score.Outcome, why string) {
	switch reason {
	case "generic failure", "Connection lost to authentication server", "Can't connect to authentication server",
		"remote authentication server unavailable", "no user in database", "system error", "Temporary authentication failure":
		return 0, whyBackend
	case "Invalid authentication mechanism", "no mechanism available", "mechanism too weak for this user",
		"Authentication mechanism not supported", "bad protocol / cancel", "authentication aborted":
		return 0, whyNotVerified // and the login after it is the attempt's before
	case "user not found":
		return score.UnknownAccount, ""
	}
	for _, backend := range [...]string{"Connection lost", "Can't connect", "Temporary ", "temporary "} {
		if strings.HasPrefix(reason, backend) {
			return 0, whyBackend
		}
	}
	if strings.HasPrefix(reason, "Invalid base64") || strings.HasPrefix(reason, "Unsupported ") {
		return 0, whyNotVerified
	}
	return score.Failure, ""
}

// postfixOther is for lines that say nothing of a login. Those that quote a client
// are known by their beginning, or have the quotation in quotes.
func (p *Parser) postfixOther(m string) (Class, string) {
	for _, quoting := range [...]string{
		"non-SMTP command from ", "Illegal address syntax from ", "hostname ", "numeric ", "malformed ", "valid_hostname", "milter ",
		"TLS ", "bad command startup", "restriction ", "Connection ", "problem talking to ", "access ", "dict_", "unknown command",
		"bad ETRN ", "don't know if command ", "using backwards-compatible ", "NOQUEUE: ",
	} {
		if strings.HasPrefix(m, quoting) {
			return Other, ""
		}
	}
	if strings.Contains(m, ": request longer than ") || strings.Contains(m, ": malformed BDAT ") {
		return Other, ""
	}
	m, _, _ = strings.Cut(m, `"`)
	return p.unknown(m)
}

// postfixClient reads "host[address]:port, sasl_method=PLAIN, sasl_username=login",
// which begins the way of a message and tells of a login that succeeded.
func (p *Parser) postfixClient(m string) (Class, string) {
	client, rest, ok := postfixHost(m)
	if !ok {
		return Other, ""
	}
	rest, ok = strings.CutPrefix(skipPort(rest), ", sasl_method=")
	if !ok {
		return Other, ""
	}
	mech, login, ok := strings.Cut(rest, ", sasl_username=")
	if !ok || mechanism(mech) == "" {
		return Other, ""
	}
	login, _, _ = strings.Cut(login, ", sasl_sender=")
	login, _, _ = strings.Cut(login, ", orig_")
	p.found(client, login, mech, score.Success, 1)
	return Login, ""
}
