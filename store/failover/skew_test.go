package failover

import (
	"testing"
	"time"
)

// A difference of clocks is applied as it is measured, and does not go on and off
// where it is about as large as what is left alone.
func TestSkew(t *testing.T) {
	var k skew
	for i, x := range []struct{ measured, applied time.Duration }{
		{1900 * time.Millisecond, 0},
		{2100 * time.Millisecond, 2100 * time.Millisecond},
		{1900 * time.Millisecond, 2100 * time.Millisecond},
		{2500 * time.Millisecond, 2100 * time.Millisecond},
		{1050 * time.Millisecond, 1050 * time.Millisecond},
		{900 * time.Millisecond, 0},
		{1500 * time.Millisecond, 0},
		{-1500 * time.Millisecond, 0},
		{-time.Hour, -time.Hour},
		{-time.Hour - 900*time.Millisecond, -time.Hour},
		{time.Hour, time.Hour},
		{0, 0},
	} {
		before := time.Duration(k.applied.Load())
		if changed := k.note(x.measured); changed != (before != x.applied) {
			t.Errorf("%d: told of a change: %v", i, changed)
		}
		if got := time.Duration(k.applied.Load()); got != x.applied {
			t.Errorf("%d: %v is applied as %v, want %v", i, x.measured, got, x.applied)
		}
	}
	// Redis is ahead by a minute: a time of this host is later there.
	k.note(time.Minute)
	now := time.Unix(1_800_000_000, 0)
	if there := k.there(now); !there.Equal(now.Add(time.Minute)) || !k.here(there).Equal(now) || !k.there(time.Time{}).IsZero() {
		t.Errorf("%v is %v there", now, there)
	}
}
