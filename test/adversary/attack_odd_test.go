package adversary

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// lyingNames has a guesser call himself what he likes, by HELO and by the names of
// his address.
func lyingNames(s *site) {
	const client = "203.0.113.7"
	names := []string{"localhost", "[127.0.0.1]", "mail.lab.test", strings.Repeat("a", 1500), "x\x01y\xff", "client_address=198.51.100.1", "-"}
	passwords, began := wrong(user(6), client, 26), time.Now()
	for i, password := range passwords {
		if s.hosts[i%len(s.hosts)].lie(client, names[i%len(names)], user(6), password) {
			s.Errorf("the guess %q was accepted", password)
		}
	}
	s.together(row{
		Scenario: "lying HELO and reverse names", Guesses: len(passwords),
		Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
	}, 10)
}

// lie makes a guess as a client whose address has the names of this host. A server
// that hangs up does not accept it.
func (h *host) lie(client, name, user, password string) (accepted bool) {
	c, _, err := lab.DialSMTP(h.postfix.Submission, nil)
	if err != nil {
		return false
	}
	defer c.Close()
	if _, err := c.XClient(netip.MustParseAddr(client), "NAME=localhost", "REVERSE_NAME=localhost", "PORT=25", "HELO=mx.lab.test"); err != nil {
		return false
	}
	if _, err := c.Hello(name); err != nil {
		return false
	}
	r, err := c.Auth(lab.Plain, user, password)
	return err == nil && r.Code == 235
}

// hostileLogins tries logins that nobody has, of every kind that a program might fall
// over. Dovecot looks none of them up, or finds no such account, and either way they
// count against the client.
func hostileLogins(s *site) {
	const client = "203.0.113.8"
	logins, began := s.logins(), time.Now()
	var all []guess
	for i, login := range hostile() {
		all = append(all, guess{logins[i%len(logins)], client, login, fmt.Sprintf("p%d", i)})
	}
	s.attack(4, all)
	s.attack(1, s.overAll(client, user(11), 16))
	s.atMost(row{
		Scenario: "empty, long, binary and 8-bit logins, then others", Guesses: len(all) + 16,
		Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
	}, 6)
	if h := s.hosts[0]; s.try(h.imap, client, user(11), right).Accepted {
		s.Error("the client is let in after all that")
	}
}

func hostile() []string {
	all := []string{
		"", " ", "@", "a@", "@b", "root\x00admin", "a\"b\\c", "{\"login\":\"x\"}", "login=admin", "x,203.0.113.99", "../../etc/passwd",
		"%u%n%s", "\x01\x02\x03\x1b[31m", "\xff\xfe\xfd", "müller@lab.test", "用户@lab.test", "a\tb", "user0@lab.test\r\nX: y", "'; DROP TABLE users; --",
	}
	for _, n := range []int{100, 255, 512, 1000, 4000} {
		all = append(all, strings.Repeat("l", n)+"@lab.test")
	}
	return all
}
