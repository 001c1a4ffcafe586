package failover

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stall         = 50 * time.Millisecond // slow answers that come closer together are of one stall
	failuresInRow = 3                     // open the breaker, however far apart they are
	failuresMixed = 10                    // in a mixWindow open it, if they are a third of the calls
	mixWindow     = time.Second           // catches a cluster of which one master is gone
	settledAfter  = 10 * time.Second
	longestPause  = 8 * time.Second
)

var errSlow = errors.New("it answers, but too slowly")

// breaker says whether the remote store is to be asked. It begins as open: not
// reached yet.
type breaker struct {
	up         atomic.Bool
	probeEvery time.Duration

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, when up changes
	since    time.Time     // when it changed
	last     error         // why it is open
	row      int           // failures without an answer between them
	rowSince time.Time     // when the first of the row was noted
	window   time.Time
	calls    int // in the window
	bad      int // failures among them
	pause    time.Duration
	flaps    int // openings soon after it was closed, one after the other
}

func newBreaker(probeEvery time.Duration) *breaker {
	return &breaker{probeEvery: probeEvery, changed: make(chan struct{}), since: time.Now()}
}

func (b *breaker) isUp() bool { return b.up.Load() }

func (b *breaker) state() (up bool, since time.Time, last error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isUp(), b.since, b.last
}

// change is closed when the breaker opens or closes.
func (b *breaker) change() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// answered takes note of a call that went well.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row = 0
	b.count(0)
}

// failed takes note of a call that did not, and tells whether the breaker opens
// for it. One that is hopeless, since nobody listens, suffices.
func (b *breaker) failed(err error, hopeless bool) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isUp() {
		return false
	}
	if b.row++; b.row == 1 {
		b.rowSince = time.Now()
	}
	b.count(1)
	// One stall makes all answers late that are under way at that moment.
	row := b.row >= failuresInRow && (!errors.Is(err, errSlow) || time.Since(b.rowSince) >= stall)
	if !hopeless && !row && (b.bad < failuresMixed || 3*b.bad < b.calls) {
		return false
	}
	// A breaker that opens soon after it was closed is one that flaps, over the
	// part of a cluster that answers: it is tried less and less often.
	if time.Since(b.since) >= settledAfter {
		b.pause, b.flaps = 0, 0
	} else if b.last != nil {
		b.flaps++
	}
	b.pause = min(max(2*b.pause, b.probeEvery), longestPause)
	b.set(false)
	b.last = err
	return true
}

// unreached takes note of a probe that failed, and tells whether it was the
// first of all.
func (b *breaker) unreached(err error) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = b.last == nil
	b.last = err
	return first
}

// close closes the breaker.
func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row, b.calls, b.bad = 0, 0, 0
	b.set(true)
}

// flapping tells whether the breaker opened soon after it was closed, and has not
// stayed closed since.
func (b *breaker) flapping() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flaps > 0
}

// flapped is flapping after more than one such opening: then it was told.
func (b *breaker) flapped() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flaps > 1
}

// unsteady is what health says of flapping, "" if there is none.
func (b *breaker) unsteady() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flaps == 0 {
		return ""
	}
	return fmt.Sprintf(" since %s; before that it came and went (%v)", b.since.UTC().Format(time.RFC3339), b.last)
}

// settle ends the flapping if the breaker has stayed closed for long enough, and
// tells whether it did.
func (b *breaker) settle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flaps == 0 || !b.isUp() || time.Since(b.since) < settledAfter {
		return false
	}
	b.flaps = 0
	return true
}

// firstPause is how long to wait for the first probe after the breaker opened.
func (b *breaker) firstPause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pause
}

// set changes the state. Whoever calls holds mu.
func (b *breaker) set(up bool) {
	b.up.Store(up)
	b.since = time.Now()
	close(b.changed)
	b.changed = make(chan struct{})
}

// count counts a call. Whoever calls holds mu.
func (b *breaker) count(bad int) {
	if now := time.Now(); now.Sub(b.window) > mixWindow {
		b.window, b.calls, b.bad = now, 0, 0
	}
	b.calls++
	b.bad += bad
}

// hopeless tells whether an error says that nobody is there to wait for.
func hopeless(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENETUNREACH) || errors.As(err, &dns)
}
