package days

import (
	"fmt"
	"net/netip"
	"time"
)

// scenario is some days in the life of a mail host.
type scenario struct {
	name     string
	days     float64
	populate func(*world)
	// limit says what the rules cannot do here: owners are refused, or their
	// address is banned, and the documents say so. "": nobody is hurt.
	limit string
}

// alice is whose account is attacked. She reads her mail at home, every ten minutes.
const alice = "alice@example.org"

func (w *world) aliceAtHome() *crowd {
	c := w.people("alice at home")
	w.enrol(alice)
	w.every(0, 10*time.Minute, func(int) { w.try(c, logs(alice, homeOf(0))) })
	return c
}

// guesses has an address guess at an account at intervals, each time anew. It begins
// when everybody has logged in once.
func (w *world) guesses(c *crowd, from netip.Addr, account string, interval time.Duration) {
	w.every(10*time.Minute, interval, func(n int) {
		w.try(c, login{from: from, account: account, password: fmt.Sprint(from, " guesses ", n)})
	})
}

// botnet has n addresses, in as many networks, guess at alice's account, each of them
// at intervals. They do not all begin at once.
func (w *world) botnet(n int, interval time.Duration) *crowd {
	c := w.attackers("a botnet")
	for i := range n {
		w.every(time.Minute+interval*time.Duration(i)/time.Duration(n), interval, func(k int) {
			w.try(c, login{from: botOf(i), account: alice, password: fmt.Sprint("bot ", i, " guesses ", k)})
		})
	}
	return c
}

// spray has addresses guess at 500 accounts in turn, which are in use.
func (w *world) spray(interval time.Duration, from func(n int) netip.Addr) {
	c, users := w.attackers("a spray"), w.people("the users")
	accounts := w.staff(500)
	for i, a := range accounts {
		w.every(0, 4*time.Hour, func(int) { w.try(users, logs(a, homeOf(i))) })
	}
	w.every(time.Minute, interval, func(n int) {
		w.try(c, login{from: from(n), account: accounts[n%len(accounts)], password: fmt.Sprint("guess ", n)})
	})
}

// in48 is the n-th /64 of an IPv6 /48.
func in48(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0xba, 0xd0, byte(n >> 8), byte(n), 15: 1})
}

// attacks are attackers, and how often they guess. Of each the account's owner is at
// home meanwhile, and is not hurt.
func attacks() []scenario {
	alone := func(interval time.Duration) func(*world) {
		return func(w *world) {
			w.aliceAtHome()
			w.guesses(w.attackers("one"), botOf(0), alice, interval)
		}
	}
	all := []scenario{
		{name: "one client, every 10 s", days: 1, populate: alone(10 * time.Second)},
		{name: "one client, every 90 s", days: 3, populate: alone(90 * time.Second)},
		{name: "one client, every 5 min", days: 3, populate: alone(5 * time.Minute)},
		{name: "one client, every 10 min", days: 3, populate: alone(10 * time.Minute)},
	}
	for _, n := range []int{10, 100} {
		all = append(all, scenario{name: fmt.Sprintf("a botnet of %d, each every 10 min", n), days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(n, 10*time.Minute)
		}})
	}
	return append(all, []scenario{
		{name: "a botnet of 30, each every 90 s", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(30, 90*time.Second)
		}},
		{name: "2,000 addresses, each once in a day", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(2000, 24*time.Hour)
		}},
		{name: "one client over 500 accounts, every 90 s", days: 1, populate: func(w *world) {
			w.spray(90*time.Second, func(int) netip.Addr { return botOf(0) })
		}},
		{name: "one client over 500 accounts, every 20 min", days: 1, populate: func(w *world) {
			w.spray(20*time.Minute, func(int) netip.Addr { return botOf(0) })
		}},
		{name: "one client over names that nobody has, every 20 min", days: 1, populate: func(w *world) {
			c := w.attackers("a guesser of names")
			w.every(time.Minute, 20*time.Minute, func(n int) {
				w.try(c, login{from: botOf(0), account: fmt.Sprintf("name%d@example.org", n), password: "123456"})
			})
		}},
		{name: "an IPv4 /24 over 500 accounts, every 10 s", days: 1, populate: func(w *world) {
			w.spray(10*time.Second, func(n int) netip.Addr { return netip.AddrFrom4([4]byte{185, 1, 1, byte(n % 251)}) })
		}},
		{name: "an IPv6 /48 over 500 accounts, every 10 s", days: 1, populate: func(w *world) {
			w.spray(10*time.Second, func(n int) netip.Addr { return in48(n) })
		}},
		{name: "one client, every 10 min, logging in to an account of its own", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.owning(1, 10*time.Minute)
		}},
		{name: "one client with three accounts of its own, every 90 s", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.owning(3, 90*time.Second)
		}},
		{name: "one client in the owner's /24, every 90 s", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.guesses(w.attackers("a neighbour"), homeOf(0).Next(), alice, 90*time.Second)
		}},
		{name: "CRAM-MD5: one client, every 90 s", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.challenged(1, 90*time.Second)
		}},
		{name: "CRAM-MD5: a botnet of 100, each every 10 min", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.challenged(100, 10*time.Minute)
		}},
		{name: "through webmail on loopback, every 10 s", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.guesses(w.attackers("a guest of webmail"), loopback, alice, 10*time.Second)
		}},
	}...)
}

// owning has an address guess at alice's account, and log in to accounts of its own
// after some failures, for what that forgives.
func (w *world) owning(accounts int, interval time.Duration) {
	c := w.attackers("a customer")
	for i := range accounts {
		own := fmt.Sprintf("own%d@example.org", i)
		w.enrol(own)
		w.every(0, time.Hour, func(n int) {
			for k := range 3 {
				w.try(c, login{from: botOf(0), account: own, password: fmt.Sprint("wrong ", n, k)})
				time.Sleep(time.Second)
			}
			w.try(c, logs(own, botOf(0)))
		})
	}
	w.guesses(c, botOf(0), alice, interval)
}

// challenged has addresses guess by a mechanism of which no hash is known.
func (w *world) challenged(n int, interval time.Duration) {
	c := w.attackers("by challenge")
	for i := range n {
		w.every(time.Minute+interval*time.Duration(i)/time.Duration(n), interval, func(k int) {
			w.try(c, login{from: botOf(i), account: alice, password: fmt.Sprint("guess ", k), mechanism: "CRAM-MD5"})
		})
	}
}
