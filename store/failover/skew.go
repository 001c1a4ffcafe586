package failover

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

const (
	// smallSkew is a difference of clocks that is left alone: entries may end that
	// much earlier or later than elsewhere.
	smallSkew = 2 * time.Second
	// measureEvery is how often the clocks are compared while Redis answers.
	measureEvery = time.Minute
)

// skew is by how much Redis' clock is ahead of this host's. Redis decides when a
// ban ends, in its own time; here all times are this host's, in its file too, so
// that guard and firewall need to know of no other clock. What crosses is moved.
type skew struct {
	measured atomic.Int64 // nanoseconds
	applied  atomic.Int64 // the same, or 0 while it is small
}

// detail is what health says of it, "" if it is small.
func (k *skew) detail() string {
	d := time.Duration(k.applied.Load())
	switch {
	case d > 0:
		return fmt.Sprintf("; this host's clock is %v behind Redis'", d.Round(time.Second))
	case d < 0:
		return fmt.Sprintf("; this host's clock is %v ahead of Redis'", (-d).Round(time.Second))
	}
	return ""
}

// note takes note of a measured difference, and tells whether what crosses is
// moved otherwise from now on. Small changes of a large difference are left alone,
// and one that was large counts as small only well below that, so that entries do
// not change with every measurement.
func (k *skew) note(d time.Duration) (changed bool) {
	d = d.Truncate(time.Millisecond) // as exact as entries are
	k.measured.Store(int64(d))
	before := time.Duration(k.applied.Load())
	if d.Abs() < smallSkew/2 || before == 0 && d.Abs() < smallSkew {
		d = 0
	}
	if d == before || d != 0 && before != 0 && (d-before).Abs() < smallSkew/2 {
		return false
	}
	k.applied.Store(int64(d))
	return true
}

// there is a time of this host by Redis' clock; here is the reverse. The zero time
// means none, or now, on either side.
func (k *skew) there(t time.Time) time.Time { return moved(t, k.applied.Load()) }
func (k *skew) here(t time.Time) time.Time  { return moved(t, -k.applied.Load()) }

func moved(t time.Time, by int64) time.Time {
	if by == 0 || t.IsZero() {
		return t
	}
	return t.Add(time.Duration(by))
}

func (k *skew) entryThere(e store.Entry) store.Entry {
	e.Since, e.Until = k.there(e.Since), k.there(e.Until)
	return e
}

func (k *skew) entryHere(e store.Entry) store.Entry {
	e.Since, e.Until = k.here(e.Since), k.here(e.Until)
	return e
}

// eventHere is an event of the remote ledger in this host's time.
func (k *skew) eventHere(e store.Event) store.Event {
	e.Entry, e.At = k.entryHere(e.Entry), k.here(e.At)
	return e
}

// opsThere are operations in Redis' time; the caller's where they need no change.
func (k *skew) opsThere(ops []store.Op) []store.Op {
	if k.applied.Load() == 0 {
		return ops
	}
	moved := make([]store.Op, len(ops))
	for i := range ops {
		moved[i] = ops[i]
		moved[i].At = k.there(ops[i].At)
	}
	return moved
}

// probe asks whether the remote store answers and can be written, and compares
// the clocks.
func (s *Store) probe(ctx context.Context) error {
	before, began := s.options.Now(), time.Now()
	there, err := s.remote.Probe(ctx)
	if err != nil {
		return err
	}
	// The answer was given about half way. One that took long tells little.
	took := time.Since(began)
	d := there.Sub(before.Add(took / 2))
	if took < smallSkew/2 && s.skew.note(d) {
		s.moved(time.Duration(s.skew.applied.Load()))
	}
	return nil
}

// moved has everything read anew in the other time, and says why.
func (s *Store) moved(by time.Duration) {
	s.watchAgain()
	if by == 0 {
		s.log.Info("this host's clock and Redis' agree")
		return
	}
	s.log.Warn("this host's clock differs from Redis'; bans end when Redis says, but logs and other hosts show other times: synchronise the clocks (NTP)",
		zap.Duration("redis_is_ahead_by", by.Round(time.Millisecond)))
}
