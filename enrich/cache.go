package enrich

import (
	"net/netip"
	"sync"
	"time"
)

// cache keeps answers, as many as it may, each for a while.
type cache struct {
	size int
	life time.Duration

	mu      sync.Mutex
	answers map[netip.Addr]answer
}

type answer struct {
	holder
	until time.Time
}

func (c *cache) get(a netip.Addr, now time.Time) (holder, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.answers[a]
	if !ok || !now.Before(x.until) || x.until.Sub(now) > c.life+failedFor { // the last: the clock was set back
		return holder{}, false
	}
	return x.holder, true
}

func (c *cache) put(a netip.Addr, h holder, now time.Time, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[netip.Addr]answer{}
	}
	if _, known := c.answers[a]; !known && len(c.answers) >= c.size {
		c.makeRoom(now)
	}
	c.answers[a] = answer{h, now.Add(life)}
}

// makeRoom drops what is over among some, or the one of them that is over first.
func (c *cache) makeRoom(now time.Time) {
	const looked = 16
	var first netip.Addr
	var soonest time.Time
	n, dropped := 0, false
	for a, x := range c.answers {
		if !now.Before(x.until) {
			delete(c.answers, a)
			dropped = true
		} else if !first.IsValid() || x.until.Before(soonest) {
			first, soonest = a, x.until
		}
		if n++; n == looked {
			break
		}
	}
	if !dropped {
		delete(c.answers, first)
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answers)
}
