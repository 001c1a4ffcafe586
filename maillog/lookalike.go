package maillog

import "strings"

// lookAlikes are what log lines of failed logins say, in lower case. A line of a
// mail program that says so and is not understood is a sign that its format has
// changed.
var lookAlikes = [...]string{
	"authentication fail", "auth fail", "authenticator fail", "login fail", "logon fail",
	"failed login", "failed auth", "failed password", "failure for user",
	"login aborted", "aborted login", "badlogin", "login incorrect", "login error",
	"password mismatch", "incorrect password", "password incorrect", "invalid password",
	"bad password", "wrong password", "invalid credentials", "bad username",
	"incorrect authentication", "invalid login", "sasl failure",
}

// unknown is the class of a line that no parser has understood.
func (p *Parser) unknown(m string) (Class, string) {
	if looksFailed(m) {
		return Unknown, ""
	}
	return Other, ""
}

// looksFailed tells whether a message looks like a failed login. It is asked for
// many lines that do not, so it looks for rare parts of words first.
func looksFailed(m string) bool {
	const enough = 512
	m = m[:min(len(m), enough)]
	if !strings.Contains(m, "ail") && !strings.Contains(m, "AIL") && !strings.Contains(m, "orrect") &&
		!strings.Contains(m, "nvalid") && !strings.Contains(m, "ismatch") && !strings.Contains(m, "assword") &&
		!strings.Contains(m, "bort") && !strings.Contains(m, "ogin") && !strings.Contains(m, "ad user") {
		return false
	}
	var buf [enough]byte
	lower := buf[:len(m)]
	for i := range len(m) {
		c := m[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	for _, l := range lookAlikes {
		if strings.Contains(string(lower), l) {
			return true
		}
	}
	return false
}
