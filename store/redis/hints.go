package redis

import (
	"sync"
	"time"
)

const (
	// hintsKept bounds each of the two generations.
	hintsKept = 32 << 10
	// hintsLive is how long a generation takes notes. Attempts are reported
	// within the life of a place.
	hintsLive = 10 * time.Second
)

// hints remember of attempts in flight whether their secrets were right before,
// as the question learnt it, so that the report needs one pipeline and not two.
// Those that are forgotten cost a round trip and nothing else.
type hints struct {
	mu       sync.Mutex
	now, old map[uint64]uint8 // by guess
	since    time.Time
}

// note takes down the rank of an attempt's secret.
func (h *hints) note(guess uint64, known int, at time.Time) {
	if guess == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now == nil || len(h.now) >= hintsKept || at.Sub(h.since) > hintsLive {
		if at.Sub(h.since) > 2*hintsLive {
			h.now = nil
		}
		h.old, h.now, h.since = h.now, make(map[uint64]uint8), at
	}
	h.now[guess] = uint8(known)
}

// find returns the rank of an attempt's secret, if it is known here.
func (h *hints) find(guess uint64, at time.Time) (uint8, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if guess == 0 || at.Sub(h.since) > 2*hintsLive {
		return 0, false
	}
	if known, ok := h.now[guess]; ok {
		return known, true
	}
	known, ok := h.old[guess]
	return known, ok
}
