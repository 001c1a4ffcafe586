package guard

import (
	"sync"
	"time"
)

// recent remembers for a short while which attempts were refused, or would have
// been, and by which rule: a report says only that policy refused. It keeps two
// generations, so that forgetting costs nothing.
type recent struct {
	mu       sync.Mutex
	now, old map[uint64]Rule
	since    time.Time // when the present generation began
}

const (
	recentSize = 8192             // of a generation
	recentLife = 30 * time.Second // of a generation; a report comes within seconds
)

func (r *recent) remember(key uint64, rule Rule, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if len(r.now) >= recentSize {
		r.age(now)
	}
	if r.now == nil {
		r.now = make(map[uint64]Rule, 64)
	}
	r.now[key] = rule
}

func (r *recent) find(key uint64, now time.Time) (Rule, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	rule, ok := r.now[key]
	if !ok {
		rule, ok = r.old[key]
	}
	return rule, ok
}

// turn begins a new generation when it is time.
func (r *recent) turn(now time.Time) {
	switch age := now.Sub(r.since); {
	case age > 2*recentLife || age < 0:
		clear(r.old)
		clear(r.now)
		r.since = now
	case age > recentLife:
		r.age(now)
	}
}

// age makes the present generation the old one. The map of the one that is forgotten
// serves again.
func (r *recent) age(now time.Time) {
	clear(r.old)
	r.old, r.now, r.since = r.now, r.old, now
}
