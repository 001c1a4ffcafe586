package maillog

import (
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/score"
)

// dovecotAuth reads a line of the auth process, which tells of each password if
// auth_verbose is on. rest is what follows the process's name:
//
//	: passwd-file(alice,192.0.2.7,<session>): Password mismatch
//	(alice,192.0.2.7,sasl:plain)<session>: Info: users: Password mismatch             (2.4)
//	(7): conn unix:auth-worker (pid=1,uid=2): auth-worker<3>: sql(alice,192.0.2.7): unknown user
//
// The login can hold anything, so the line is read from its end.
func (p *Parser) dovecotAuth(rest string) (Class, string) {
	rest, debug := dovecotProcess(rest)
	if debug {
		return Other, ""
	}
	if database, after, ok := strings.Cut(rest, "(?,"); ok && all(database, "-_") {
		return p.dovecotNobody(after)
	}
	if strings.Contains(rest, "given password: ") {
		return p.dovecotPassword(rest)
	}
	at, verdict := lastWho(rest)
	switch {
	case at < 0:
		return p.unknown(rest)
	case strings.HasPrefix(verdict, "Debug: "):
		return Other, ""
	}
	verdict = level(verdict)
	if name, after, ok := strings.Cut(verdict, ": "); ok && all(name, "-_") { // 2.4's name of a database
		verdict = after
	}
	outcome, why, known := dovecotVerdict(verdict)
	if !known {
		return p.unknown(verdict)
	}
	return p.dovecotDatabase(rest[:at], outcome, why)
}

// dovecotPassword reads a line that ends in the password that was sent, which
// auth_verbose_passwords adds: "unknown user (given password: secret)". There both
// ends are the client's, so nothing else of it may look like the middle.
func (p *Parser) dovecotPassword(rest string) (Class, string) {
	at, after := firstWho(rest)
	if at < 0 {
		return Login, whyAmbiguous
	}
	before, verdict := rest[:at], level(after)
	if name, text, ok := strings.Cut(verdict, ": "); ok && all(name, "-_") {
		verdict = text
	}
	verdict, password, ok := strings.Cut(verdict, " (")
	outcome, why, known := dovecotVerdict(verdict)
	if !ok || !known || !strings.HasSuffix(password, ")") || !strings.Contains(password, "given password: ") {
		return Login, whyAmbiguous
	}
	if more, _ := firstWho(after); more >= 0 {
		return Login, whyAmbiguous
	}
	return p.dovecotDatabase(before, outcome, why)
}

// lastWho is where the parenthesis closes that says of whom the line is, and what
// follows: "): ", or of 2.4 ")<session>: ". The last of several is the true one, where
// the client has written none of what follows.
func lastWho(m string) (at int, text string) {
	for at = strings.LastIndexByte(m, ')'); at >= 0; at = strings.LastIndexByte(m[:at], ')') {
		if text, ok := afterWho(m[at+1:]); ok {
			return at, text
		}
	}
	return -1, ""
}

// firstWho is the first of several.
func firstWho(m string) (at int, text string) {
	for i, b := range []byte(m) {
		if b == ')' {
			if text, ok := afterWho(m[i+1:]); ok {
				return i, text
			}
		}
	}
	return -1, ""
}

func afterWho(m string) (text string, ok bool) {
	if after, found := strings.CutPrefix(m, "<"); found {
		session, after, _ := strings.Cut(after, ">")
		if !all(session, "+/=") {
			return "", false
		}
		m = after
	}
	return strings.CutPrefix(m, ": ")
}

// dovecotNobody reads "address,<session>): Username character disallowed by
// auth_username_chars: 0x2c (username: login)", of a login that Dovecot does not
// even look for. The login is behind everything else. 2.4 has "sasl:plain" before the
// session, and the mechanism before the text.
func (p *Parser) dovecotNobody(m string) (Class, string) {
	at, text := firstWho(m)
	if at < 0 {
		return Other, ""
	}
	who, m := m[:at], level(text)
	if name, after, ok := strings.Cut(m, ": "); ok && mechanism(name) != "" {
		m = after
	}
	m, disallowed := strings.CutPrefix(m, "Username character disallowed by auth_username_chars: ")
	if !disallowed {
		return Other, ""
	}
	if p.counted != DovecotAuth {
		return Login, whyElsewhere
	}
	from, more, _ := strings.Cut(who, ",")
	client, ok := address(from)
	if !ok {
		return Login, whyNoAddress
	}
	mech, _ := strings.CutPrefix(more, "sasl:")
	_, login, _ := strings.Cut(m, " (username: ")
	p.found(client, strings.TrimSuffix(login, ")"), mechanism(mech), score.Failure, 1)
	return Login, ""
}

// dovecotDatabase reads "database(login,address,<session>" and yields the attempt.
func (p *Parser) dovecotDatabase(m string, outcome score.Outcome, why string) (Class, string) {
	switch {
	case why != "":
		return Login, why
	case p.counted != DovecotAuth:
		return Login, whyElsewhere
	case p.maybeCut():
		return Login, whyAmbiguous
	}
	database, m, ok := strings.Cut(m, "(")
	client, login, mech, known := dovecotTriple(m)
	if !ok || !known {
		return Login, whyNoAddress
	}
	// A login is looked for in one database after the other, and each tells.
	l := &p.lastAuth
	same := l.client == client && l.login == login && l.database != database && p.line.At.Sub(l.at).Abs() <= 2*time.Second
	l.client, l.database, l.at = client, strings.Clone(database), p.line.At
	if l.login != login {
		l.login = strings.Clone(login)
	}
	if same {
		return Login, whyElsewhere
	}
	p.found(client, login, mech, outcome, 1)
	return Login, ""
}

// lastAuth is the last line of the auth process that was counted.
type lastAuth struct {
	client          netip.Addr
	login, database string
	at              time.Time
}

// dovecotTriple splits "login,address", after which may stand ",<session>" and
// ",sasl:plain", from its end.
func dovecotTriple(m string) (client netip.Addr, login, mech string, ok bool) {
	for range 3 {
		at := strings.LastIndexByte(m, ',')
		if at < 0 {
			return client, "", "", false
		}
		last := m[at+1:]
		switch {
		case strings.HasPrefix(last, "<") && strings.HasSuffix(last, ">"):
		case strings.HasPrefix(last, "sasl:"):
			mech = last[len("sasl:"):]
		default:
			client, ok = address(last)
			return client, m[:at], mech, ok
		}
		m = m[:at]
	}
	return client, "", "", false
}

// dovecotProcess drops what stands before the database: the process, a level, and
// a worker's connection.
func dovecotProcess(rest string) (m string, debug bool) {
	if after, ok := strings.CutPrefix(rest, "("); ok { // (7) and (default), but not (login,address,…)
		if name, text, ok := strings.Cut(after, "): "); ok && all(name, "") {
			rest = ": " + text
		}
	}
	m = strings.TrimPrefix(rest, ": ")
	debug = strings.HasPrefix(m, "Debug: ")
	m = level(m)
	if after, ok := strings.CutPrefix(m, "conn unix:"); ok {
		if _, text, ok := strings.Cut(after, "): "); ok {
			m = text
			if name, text, ok := strings.Cut(m, ": "); ok && all(name, "-<>") {
				m = text
			}
		}
	}
	return m, debug
}

// dovecotVerdict tells what a database says of a login.
func dovecotVerdict(m string) (outcome score.Outcome, why string, known bool) {
	switch m {
	case "Password mismatch", "password mismatch", "invalid credentials", "Invalid credentials", "Authentication failed":
		return score.Failure, "", true
	case "unknown user", "Unknown user":
		return score.UnknownAccount, "", true
	case "Authentication failure due to policy server refusal":
		return 0, whyRefused, true
	}
	if m, ok := strings.CutPrefix(m, "pam_authenticate() failed: "); ok {
		switch m {
		case "Authentication failure", "Authentication failure (password mismatch?)", "Authentication failure (Password mismatch?)", "Permission denied":
			return score.Failure, "", true
		}
		if rest, ok := strings.CutPrefix(m, "User not known to the underlying authentication module"); ok {
			rest, _ = strings.CutPrefix(rest, ": ")
			_, rest, _ = number(rest)
			return score.UnknownAccount, "", rest == "" || rest == " Time(s)"
		}
		return 0, whyBackend, true
	}
	return 0, "", false
}
