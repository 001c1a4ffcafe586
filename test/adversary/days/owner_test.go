package days

import (
	"fmt"
	"net/netip"
	"time"
)

const outage = "a password database that is down for ten minutes"

// Owners of accounts, each in a world of their own with those who attack them. None is
// refused.
func people() []scenario {
	return []scenario{
		{name: "a phone with an old password, and a laptop, at home", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(20, 10*time.Minute)
			w.phone(alice, passwordOf(alice), homeOf(0), time.Minute)
			w.changes(alice, 2*time.Hour)
			w.user(alice, homeOf(0), 2*time.Hour+time.Minute, 5*time.Minute, "")
		}},
		{name: "a phone with an old password behind an office's address", days: 1, populate: func(w *world) {
			staff := w.office(21, office)
			w.phone(staff[0], passwordOf(staff[0]), office, time.Minute)
			w.changes(staff[0], 2*time.Hour)
		}},
		{name: "a phone with a password that was never right, at home with others", days: 1, populate: func(w *world) {
			w.household()
			w.phone("bob@example.org", "never right", homeOf(1), time.Minute)
		}},
		{name: "a phone with a password that was never right, in an office", days: 1, populate: func(w *world) {
			staff := w.office(21, office)
			w.phone(staff[0], "never right", office, time.Minute)
		}},
		{name: "200 phones with last month's password after a reset of all", days: 0.5, populate: (*world).reset},
		{name: outage, days: 0.5, populate: (*world).outage},
		{name: "an office of 200 at nine, five connections each, on the first day", days: 2, populate: func(w *world) {
			w.nine(200, 5, 10*time.Second)
		}},
		{name: "a traveller, while a botnet of 100 guesses at the account", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(100, 10*time.Minute)
			w.travels(alice, "")
		}},
		{name: "a traveller who mistypes twice, under the same attack", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(100, 10*time.Minute)
			w.travels(alice, "typo")
		}},
		{name: "customers behind one address (CGNAT), one of whom guesses", days: 1, populate: func(w *world) {
			staff := w.office(20, carrier)
			w.guesses(w.attackers("another customer"), carrier, staff[3], 90*time.Second)
			w.guesses(w.attackers("another customer"), carrier, "nobody@example.org", 90*time.Second)
		}},
		{name: "a carrier's /24: 400 people new in it, a fifth of whom mistype", days: 1, populate: (*world).newcomers},
		{name: "the same, with eight customers who guess", days: 1, populate: func(w *world) {
			w.newcomers()
			c := w.attackers("other customers")
			for i := range 8 {
				w.guesses(c, carrier24(200+i), alice, 90*time.Second)
			}
		}},
		{name: "a mailing-list server: 9,000 messages a day, 20 connections at once", days: 1, populate: (*world).lists},
		{name: "webmail on loopback, with a botnet at one of its accounts", days: 1, populate: (*world).webmail},
		{name: "20 mail programs whose OAuth tokens expire every hour", days: 1, populate: (*world).tokens},
		{name: "a password changed on three devices, one after another, under attack", days: 1, populate: (*world).devices},
		{name: "IPv6 privacy addresses, and a /64 for each hour on the road, under attack", days: 1, populate: (*world).privacy},
		{name: "somebody who forgot: twelve passwords at home, then the right one", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.forgetful(homeOf(0), 3*time.Hour)
		}},
		{name: "monitoring on the allowlist with a wrong password, every minute", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.phone("monitor@example.org", "wrong", loopback, time.Minute)
			w.user(alice, loopback, time.Hour, time.Hour, "")
		}},
		{name: "CRAM-MD5: a phone that was never right, in an office", days: 1, populate: func(w *world) {
			w.office(21, office)
			w.phoneBy("CRAM-MD5", "visitor@example.org", "never right", office, time.Minute)
		}},
	}
}

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	office   = netip.MustParseAddr("91.10.10.10")
	carrier  = netip.MustParseAddr("100.20.30.40")
)

// phone tries the same password for ever, whether it is right or not.
func (w *world) phone(account, password string, from netip.Addr, interval time.Duration) {
	w.phoneBy("", account, password, from, interval)
}

func (w *world) phoneBy(mechanism, account, password string, from netip.Addr, interval time.Duration) {
	c := w.people("a phone of " + account)
	w.every(10*time.Minute, interval, func(int) {
		w.try(c, login{from: from, account: account, password: password, mechanism: mechanism})
	})
}

// changes gives an account a new password at a time.
func (w *world) changes(account string, at time.Duration) {
	w.begin(func() {
		time.Sleep(at)
		w.setPassword(account, "new "+passwordOf(account))
	})
}

// user logs in with whatever is right at the time.
func (w *world) user(account string, from netip.Addr, begin, interval time.Duration, service string) {
	c := w.people(account + " at " + from.String())
	w.every(begin, interval, func(int) { w.try(c, w.rightLogin(account, from, service)) })
}

func (w *world) rightLogin(account string, from netip.Addr, service string) login {
	w.mu.Lock()
	defer w.mu.Unlock()
	return login{from: from, account: account, password: w.passwords[account], service: service}
}

// office is n people who work behind one address all day. Each reads and sends mail,
// and mistypes now and then.
func (w *world) office(n int, at netip.Addr) []string {
	staff := w.staff(n)
	c := w.people("the office")
	for i, a := range staff {
		w.user(a, at, time.Duration(i)*7*time.Second, 15*time.Minute, "")
		w.user(a, at, time.Duration(i)*11*time.Second, time.Hour, "submission")
		w.every(time.Duration(i+1)*20*time.Minute, 8*time.Hour, func(k int) {
			w.try(c, login{from: at, account: a, password: fmt.Sprint("typo ", k)})
		})
	}
	return staff
}

// household is bob, whose phone is set up wrongly, and carol, at one address.
func (w *world) household() {
	w.enrol("bob@example.org", "carol@example.org")
	w.user("carol@example.org", homeOf(1), 0, 10*time.Minute, "")
	w.user("carol@example.org", homeOf(1), time.Minute, time.Hour, "submission")
	w.user("bob@example.org", homeOf(1), 6*time.Hour, time.Hour, "") // his laptop
}

// reset gives 200 people new passwords at once. Half of them are in one office, the
// others at home; their phones go on with the old one, until they are told the new one.
func (w *world) reset() {
	c := w.people("200 phones")
	at := func(i int) netip.Addr {
		if i < 100 {
			return office
		}
		return homeOf(i)
	}
	for i, a := range w.staff(200) {
		w.changes(a, 4*time.Hour)
		told := 5*time.Hour + time.Duration(i)*3*time.Minute
		w.every(time.Duration(i)*time.Second, 5*time.Minute, func(int) {
			l := logs(a, at(i))
			if w.clock() > told {
				l = w.rightLogin(a, at(i), "")
			}
			w.try(c, l)
		})
	}
	w.botnet(20, 10*time.Minute)
}

// outage has the password database answer nobody for ten minutes. People try other
// passwords meanwhile.
func (w *world) outage() {
	c := w.people("those who try others")
	for i, a := range w.staff(150) {
		at := homeOf(i % 60)
		w.user(a, at, time.Duration(i)*time.Second, 10*time.Minute, "")
		w.begin(func() {
			time.Sleep(6*time.Hour + time.Minute + time.Duration(i)*time.Second)
			for k := range 3 {
				w.try(c, login{from: at, account: a, password: fmt.Sprint("another ", k)})
				time.Sleep(20 * time.Second)
			}
		})
	}
	w.begin(func() {
		time.Sleep(6 * time.Hour)
		w.down.Store(true)
		time.Sleep(10 * time.Minute)
		w.down.Store(false)
	})
	w.aliceAtHome()
	w.botnet(20, 10*time.Minute)
}

// nine has n people open some connections each within a time, at one address that
// nobody knows yet.
func (w *world) nine(n, connections int, within time.Duration) {
	c := w.people("the office at nine")
	for i, a := range w.staff(n) {
		for k := range connections {
			w.every(9*time.Hour+within*time.Duration(i)/time.Duration(n)+time.Duration(k)*50*time.Microsecond, 24*time.Hour, func(int) {
				w.try(c, logs(a, office))
			})
		}
	}
}

// travels has somebody log in from a new network every three hours, mistyping before
// where typo is something.
func (w *world) travels(account, typo string) {
	c := w.people("a traveller")
	w.every(3*time.Hour, 3*time.Hour, func(n int) {
		at := netip.AddrFrom4([4]byte{151, byte(n), 1, 9})
		for k := 0; typo != "" && k < 2; k++ {
			w.try(c, login{from: at, account: account, password: fmt.Sprint(typo, n, k)})
			time.Sleep(10 * time.Second)
		}
		l := logs(account, at)
		w.try(c, l)
		l.service = "submission"
		w.try(c, l)
	})
}

// newcomers log in for the first time in a carrier's /24, all through the day.
func (w *world) newcomers() {
	c := w.people("newcomers")
	w.enrol(alice)
	for i, a := range w.staff(400) {
		at := carrier24(i % 200)
		w.every(time.Duration(i)*3*time.Minute, 5*time.Hour, func(n int) {
			if i%5 == 0 && n == 0 {
				w.try(c, login{from: at, account: a, password: "typo"})
				time.Sleep(20 * time.Second)
			}
			w.try(c, logs(a, at))
		})
	}
}

func carrier24(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, 21, 30, byte(i)}) }

// lists is a mailing-list server that nobody has seen yet.
func (w *world) lists() {
	const account, connections = "lists@example.org", 20
	c := w.people("the list server")
	w.enrol(account)
	for range connections {
		w.every(0, 24*time.Hour/450, func(int) {
			l := logs(account, netip.MustParseAddr("93.184.216.34"))
			l.service = "submission"
			w.try(c, l)
		})
	}
}

// webmail has a hundred people log in through loopback, alice among them, who uses
// nothing else.
func (w *world) webmail() {
	c := w.people("webmail")
	w.enrol(alice)
	w.user(alice, loopback, 0, 20*time.Minute, "")
	for i, a := range w.staff(100) {
		w.user(a, loopback, time.Duration(i)*time.Second, 30*time.Minute, "")
		w.every(time.Duration(i)*13*time.Minute, 4*time.Hour, func(k int) {
			w.try(c, login{from: loopback, account: a, password: fmt.Sprint("typo ", k)})
		})
	}
	w.botnet(100, 10*time.Minute)
}

// tokens has mail programs try an expired token three times before they get a new one.
func (w *world) tokens() {
	c := w.people("mail programs")
	for i, a := range w.staff(20) {
		w.every(time.Duration(i)*time.Minute, time.Hour, func(n int) {
			l := login{from: office, account: a, mechanism: "XOAUTH2"}
			for range 3 {
				l.password = fmt.Sprint("token ", n-1)
				w.try(c, l)
				time.Sleep(5 * time.Second)
			}
			l.password = fmt.Sprint("token ", n)
			w.setPassword(a, l.password)
			w.try(c, l)
		})
	}
}

// devices has alice change her password; her devices are told hours later, each at
// another time.
func (w *world) devices() {
	w.aliceAtHome()
	w.botnet(50, 10*time.Minute)
	w.changes(alice, 5*time.Hour)
	w.user(alice, homeOf(0), 5*time.Hour+time.Minute, time.Hour, "") // where she changed it
	c := w.people("alice's devices")
	for i, at := range []netip.Addr{homeOf(0), office, carrier} {
		told := time.Duration(7+4*i) * time.Hour
		w.every(time.Duration(i)*time.Minute, 2*time.Minute, func(int) {
			l := logs(alice, at)
			if w.clock() > told {
				l = w.rightLogin(alice, at, "")
			}
			w.try(c, l)
		})
	}
}

// privacy has addresses change: at home within the /64, on the road the /64.
func (w *world) privacy() {
	c := w.people("alice by IPv6")
	w.enrol(alice)
	w.every(0, 10*time.Minute, func(n int) {
		at := [16]byte{0x20, 1, 0x0d, 0xb8, 0, 1, 0, 1, 15: 1}
		at[14] = byte(n / 6)
		w.try(c, logs(alice, netip.AddrFrom16(at)))
	})
	w.every(time.Hour, 10*time.Minute, func(n int) {
		at := [16]byte{0x20, 1, 0x0d, 0xb8, 0, 2, 0, 0, 15: 1}
		at[7] = byte(n / 6)
		w.try(c, logs(alice, netip.AddrFrom16(at)))
	})
	w.botnet(50, 10*time.Minute)
}

// forgetful tries twelve passwords, and then knows.
func (w *world) forgetful(at netip.Addr, begin time.Duration) {
	c := w.people("somebody who forgot")
	w.begin(func() {
		time.Sleep(begin)
		for i := range 12 {
			w.try(c, login{from: at, account: alice, password: fmt.Sprint("was it ", i)})
			time.Sleep(5 * time.Second)
		}
		w.try(c, logs(alice, at))
	})
}
