package adversary

import (
	"fmt"
	"net/netip"
	"time"
)

// worldwide is the i-th address of a botnet: no two of one /24.
func worldwide(i int) string { return fmt.Sprintf("45.%d.%d.7", i/256, i%256) }

func ofOne24(i int) string { return fmt.Sprintf("192.0.2.%d", 1+i%254) }
func ofOne48(i int) string { return fmt.Sprintf("2001:db8:7:%x::1", i) }
func ofOne64(i int) string { return fmt.Sprintf("2001:db8:8:1::%x", i+1) }

// manyAddresses makes one guess from each of many addresses at one account. What is
// left of the budget by those that were refused for others in flight, further
// addresses guess one after the other.
func manyAddresses(s *site, whose, account string, allowed int, address func(i int) string) {
	n, after, atOnce := 60, 24, 24
	if *long {
		n, atOnce = 2000, 100
	}
	if *long && address(0) == address(254) {
		n = 254 - after
	}
	logins, began := s.logins(), time.Now()
	var all []guess
	for i, password := range wrong(account, whose, n+after) {
		all = append(all, guess{logins[i%len(logins)], address(i), account, password})
	}
	s.attack(atOnce, all[:n])
	s.attack(4, all[n:])
	s.together(row{
		Scenario: fmt.Sprintf("a guess from each of %d %s, one account", len(all), whose), Guesses: len(all),
		Verified: s.verified(ofUser(account)), Banned: s.bannedAfter(began, all[0].client),
	}, allowed)
}

// accountForEachAddress has addresses of a /24 guess at an account of their own each: in
// the short form too few for the network to be refused, in the long one enough. What
// reaches a network's score at once is not held to it: those points are not reserved.
func accountForEachAddress(s *site) {
	const each = 14
	clients := 4
	if *long {
		clients = 32
	}
	logins, began := s.logins(), time.Now()
	var all []guess
	for k := range each {
		for i := range clients {
			client, account := fmt.Sprintf("198.51.100.%d", 1+i), user(20+i)
			all = append(all, guess{logins[(k+i)%len(logins)], client, account, wrong(account, client, each)[k]})
		}
	}
	s.attack(clients, all)
	network := netip.MustParsePrefix("198.51.100.0/24")
	r := row{
		Scenario: fmt.Sprintf("%d addresses of one /24, an account each", clients), Guesses: len(all),
		Verified: s.verified(func(_, client string) bool {
			a, err := netip.ParseAddr(client)
			return err == nil && network.Contains(a)
		}),
		Banned: s.bannedAfter(began, all[0].client), Note: "10 for each address",
	}
	if !*long {
		s.together(r, 10*clients)
		return
	}
	r.Note = fmt.Sprintf("the network has 100, and what was under way then: %d at most", clients)
	if n := s.late(); n > 0 {
		r.Note += fmt.Sprintf("; Redis was late %d times", n)
	}
	s.atMost(r, 100+clients)
}
