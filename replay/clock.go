package replay

import (
	"sync/atomic"
	"time"
)

// clock stands where the log is. The guard and its store read it from their own
// goroutines.
type clock struct{ nanos atomic.Int64 }

// Now is the time of the latest attempt.
func (c *clock) Now() time.Time { return time.Unix(0, c.nanos.Load()) }

// reach moves the clock on to a time. It is never set back: a line that comes late
// counts as of its own time, with what has decayed since, as a late report does.
func (c *clock) reach(t time.Time) {
	if n := t.UnixNano(); n > c.nanos.Load() {
		c.nanos.Store(n)
	}
}
