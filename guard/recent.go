package guard

import (
	"sync"
	"time"
)

// recent remembers something of attempts for a short while, such as which were
// refused, or would have been, and by which rule: a report says only that policy
// refused. It keeps two generations, so that forgetting costs nothing.
type recent[V any] struct {
	mu       sync.Mutex
	now, old map[uint64]V
	since    time.Time // when the present generation began
}

const (
	recentSize = queueSize + batchSize // of a generation: whatever is queued is remembered
	recentLife = 30 * time.Second      // of a generation; a report comes within seconds
)

func (r *recent[V]) remember(key uint64, v V, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	r.put(key, v, now)
}

func (r *recent[V]) find(key uint64, now time.Time) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	return r.get(key)
}

// put and get are what remember and find do under the lock, once turn was called.
func (r *recent[V]) put(key uint64, v V, now time.Time) {
	if len(r.now) >= recentSize {
		r.age(now)
	}
	if r.now == nil {
		r.now = make(map[uint64]V, 64)
	}
	r.now[key] = v
}

func (r *recent[V]) get(key uint64) (V, bool) {
	v, ok := r.now[key]
	if !ok {
		v, ok = r.old[key]
	}
	return v, ok
}

// turn begins a new generation when it is time.
func (r *recent[V]) turn(now time.Time) {
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
func (r *recent[V]) age(now time.Time) {
	if len(r.old) > 0 { // or what it has grown to would be cleared in vain
		clear(r.old)
	}
	r.old, r.now, r.since = r.now, r.old, now
}
