package adversary

import (
	"fmt"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// Attackers side by side on two hosts that share a Redis: each has addresses and
// accounts of his own, and each host is asked in turn.
func TestAttackersOfTwoHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, plan{hosts: 2, redis: true, users: users(700)})
	for name, scenario := range map[string]func(*site){
		"reconnecting": reconnecting,
		"spray":        spray,
		"own account":  ownAccountBetween,
		"CRAM-MD5":     func(s *site) { challenged(s, lab.CRAMMD5, "203.0.113.5", user(4)) },
		"SCRAM":        func(s *site) { challenged(s, lab.SCRAMSHA256, "203.0.113.6", user(5)) },
		"names":        lyingNames,
		"logins":       hostileLogins,
		"botnet":       func(s *site) { manyAddresses(s, "addresses of the whole world", user(7), 20, worldwide) },
		"/24":          func(s *site) { manyAddresses(s, "addresses of one /24", user(8), 20, ofOne24) },
		"/48":          func(s *site) { manyAddresses(s, "/64s of one IPv6 /48", user(9), 20, ofOne48) },
		"/64":          func(s *site) { manyAddresses(s, "addresses of one IPv6 /64", user(10), 10, ofOne64) },
		"accounts /24": accountForEachAddress,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(s.in(t))
		})
	}
}

// overAll makes guesses of one client on an account, each host and protocol in turn.
func (s *site) overAll(client, user string, n int) []guess {
	logins := s.logins()
	var all []guess
	for i, password := range wrong(user, client, n) {
		all = append(all, guess{logins[i%len(logins)], client, user, password})
	}
	return all
}

func reconnecting(s *site) {
	const client = "203.0.113.2"
	all, began := s.overAll(client, user(1), 26), time.Now()
	s.attack(1, all)
	s.together(row{
		Scenario: "a new connection after each refusal", Guesses: len(all),
		Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
	}, 10)
}

// spray tries one password on each of many accounts. The first costs a point and the
// others two: five leave room for one more.
func spray(s *site) {
	const client = "203.0.113.3"
	accounts, atOnce := 60, 8
	if *long {
		accounts, atOnce = 500, 32
	}
	logins, began := s.logins(), time.Now()
	var all []guess
	for i := range accounts {
		all = append(all, guess{logins[i%len(logins)], client, user(100 + i), "Winter2026!"})
	}
	s.attack(atOnce, all)
	s.together(row{
		Scenario: fmt.Sprintf("spray over %d accounts from one address", accounts), Guesses: len(all),
		Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
	}, 6)
}

// ownAccountBetween has an attacker log in to his own account after each guess at
// another's: that forgives what he owes on his own, and nothing else.
func ownAccountBetween(s *site) {
	const client = "203.0.113.4"
	own := user(3)
	all, began := s.overAll(client, user(2), 23), time.Now()
	for _, g := range all {
		s.attack(1, []guess{g})
		s.try(g.by, client, own, right) // until he is banned
	}
	s.together(row{
		Scenario: "his own account's login after each guess", Guesses: len(all),
		Verified: s.verified(ofUser(user(2))), Banned: s.bannedAfter(began, client),
	}, 10)
}

// challenged guesses with a mechanism of which Dovecot sends no hash, or always the
// same one: many at once, and then one after the other.
func challenged(s *site, m lab.Mechanism, client, user string) {
	const atOnce, after = 32, 16
	began := time.Now()
	var all []guess
	for i, password := range wrong(user, client, atOnce+after) {
		h := s.hosts[i%len(s.hosts)]
		by := []lab.Login{h.dovecot.IMAPLogin(m), h.dovecot.POP3Login(m), h.postfix.SMTPProxyLogin(m)}[i%3]
		all = append(all, guess{by, client, user, password})
	}
	s.attack(atOnce, all[:atOnce])
	s.attack(1, all[atOnce:])
	s.together(row{
		Scenario: string(m) + ", 32 at once", Guesses: len(all),
		Verified: s.verified(ofUser(user)), Banned: s.bannedAfter(began, client),
	}, 10)
}
