package guard

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// waiting holds the attempts that wait for a place: only guesses that are being
// verified right now stand in their way, and most of those are settled within
// milliseconds. Few may wait, and not for long: whoever waits holds one of
// Dovecot's 100 policy connections, and when those are used up Dovecot fails
// open for everybody.
type waiting struct {
	mu      sync.Mutex
	clients map[netip.Prefix]int
	host    int
	settled chan struct{} // closed, and replaced, when places were settled
}

// wait asks again whenever places were settled, and once when the time is over, since
// other hosts settle places too; until ask says that waiting is over, or ctx is. It does
// not wait at all, and returns false, where too many do.
func (w *waiting) wait(ctx context.Context, client netip.Prefix, c WaitingConfig, ask func() (again bool)) bool {
	if c.Max <= 0 {
		return true // nobody does
	}
	if !w.enter(client, c) {
		return false
	}
	defer w.leave(client)
	timer := time.NewTimer(c.Max)
	defer timer.Stop()
	for {
		settled := w.signal()
		if !ask() { // it may have been settled before the signal was taken
			return true
		}
		select {
		case <-settled:
		case <-timer.C:
			ask()
			return true
		case <-ctx.Done():
			return true
		}
	}
}

func (w *waiting) enter(client netip.Prefix, c WaitingConfig) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.host >= c.HeldHost || w.clients[client] >= c.HeldClient {
		return false
	}
	if w.clients == nil {
		w.clients = map[netip.Prefix]int{}
	}
	w.host++
	w.clients[client]++
	return true
}

func (w *waiting) leave(client netip.Prefix) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host--
	if w.clients[client]--; w.clients[client] <= 0 {
		delete(w.clients, client)
	}
}

// signal returns the channel that is closed when places are settled next.
func (w *waiting) signal() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settled
}

// wake lets all who wait ask again.
func (w *waiting) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.host > 0 {
		close(w.settled)
		w.settled = make(chan struct{})
	}
}
