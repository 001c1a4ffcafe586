package days

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// crowd is some people, or some attackers, and how they fared.
type crowd struct {
	name      string
	attackers bool

	mu       sync.Mutex
	tries    int
	verified int // passwords that the database was asked for
	tested   int // attempts that would have got in, had the password been right
	accepted int
	refused  int // of all
	rights   int // attempts with the right password
	hurt     int // of them refused
	victims  map[string]bool
	waits    []time.Duration // before the right password was verified
	longest  time.Duration   // of anybody's
}

// outcome is what became of an attempt.
type outcome struct {
	right, refused, accepted bool
	waited                   time.Duration
}

// people adds owners of accounts, with their devices.
func (w *world) people(name string) *crowd { return w.crowd(name, false) }

// attackers adds attackers.
func (w *world) attackers(name string) *crowd { return w.crowd(name, true) }

func (w *world) crowd(name string, attackers bool) *crowd {
	c := &crowd{name: name, attackers: attackers, victims: map[string]bool{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crowds = append(w.crowds, c)
	return c
}

func (c *crowd) note(l *login, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries++
	c.longest = max(c.longest, o.waited)
	switch {
	case o.refused:
		c.refused++
	default:
		c.verified++
	}
	if o.accepted {
		c.accepted++
	}
	if !o.right {
		return
	}
	c.rights++
	c.waits = append(c.waits, o.waited)
	if o.refused {
		c.hurt++
		c.victims[l.account] = true
	}
}

func (c *crowd) noteTested(would bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if would {
		c.tested++
	}
}

// figures are what a world has come to.
type figures struct {
	tries, verified, tested, broken int // of attackers; broken: they got in
	logins, hurt, victims           int // of owners, with the right password
	p50, p99                        time.Duration
	bans                            int      // of attackers
	hit                             []string // bans that an owner's address was in
	braked                          bool
	days                            float64
}

// figures adds the crowds up.
func (w *world) figures() figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := figures{bans: w.banned, hit: w.hit, braked: w.braked, days: w.days}
	var waits []time.Duration
	for _, c := range w.crowds {
		if c.attackers {
			f.tries += c.tries
			f.verified += c.verified - c.accepted
			f.tested += c.tested
			f.broken += c.accepted
			continue
		}
		f.logins += c.rights
		f.hurt += c.hurt
		f.victims += len(c.victims)
		waits = append(waits, c.waits...)
	}
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		f.p50, f.p99 = waits[n/2], waits[n*99/100]
	}
	return f
}

// perDay is how many a day.
func (f *figures) perDay(n int) int { return int(float64(n)/f.days + 0.5) }

// passwordOf is what an account's owner uses, until it is changed.
func passwordOf(account string) string { return "right of " + account }

// enrol gives accounts their passwords.
func (w *world) enrol(accounts ...string) {
	for _, a := range accounts {
		w.setPassword(a, passwordOf(a))
	}
}

// staff are n accounts with their passwords.
func (w *world) staff(n int) []string {
	accounts := make([]string, n)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("person%03d@example.org", i)
	}
	w.enrol(accounts...)
	return accounts
}

// logs is a login with the right password of before any change.
func logs(account string, from netip.Addr) login {
	return login{from: from, account: account, password: passwordOf(account)}
}

// homeOf is the n-th of many addresses, each in a network of its own.
func homeOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{81, byte(n / 250), byte(n % 250), 7}) }

// botOf is the n-th address of a botnet, each in a network of its own.
func botOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{185, byte(n / 250), byte(n % 250), 66}) }
