package guard

import (
	"net/netip"
	"sync"
	"time"
)

// tarpits counts the attempts that are being delayed. Each holds a process of
// the mail server, so there are few of them: at once, and for one client. A
// delay ends by itself when its time is over; nobody has to say so.
type tarpits struct {
	mu   sync.Mutex
	held [2][]delayed // for Dovecot, Postfix
}

type delayed struct {
	client netip.Prefix
	guess  uint64
	until  time.Time
}

// hold takes a slot for a delay that begins now, and tells whether there was one.
func (t *tarpits) hold(f Face, client netip.Prefix, guess uint64, delay time.Duration, now time.Time, c TarpitConfig) bool {
	limit := c.HeldDovecot
	switch f {
	case Postfix:
		limit = c.HeldPostfix
	case Log:
		return true // nobody waits
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ofClient, kept := 0, t.held[f][:0]
	for i := range 2 {
		for _, d := range t.held[i] {
			if d.client != client || !d.until.After(now) {
				continue
			}
			if guess != 0 && d.guess == guess && Face(i) == f {
				return true // the same attempt is asked about twice, and held once
			}
			ofClient++
		}
	}
	for _, d := range t.held[f] {
		if d.until.After(now) {
			kept = append(kept, d)
		}
	}
	t.held[f] = kept
	if len(kept) >= limit || ofClient >= c.HeldClient {
		return false
	}
	t.held[f] = append(kept, delayed{client, guess, now.Add(delay)})
	return true
}

// count is how many are held at a time.
func (t *tarpits) count(f Face, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, d := range t.held[f] {
		if d.until.After(now) {
			n++
		}
	}
	return n
}
