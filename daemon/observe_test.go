package daemon

import (
	"testing"
	"time"
)

// A state is told when it has turned and held, and not while it flaps or when it has
// always been well.
func TestSteady(t *testing.T) {
	s := &steady{ok: true}
	now := time.Unix(1_800_000_000, 0)
	for i, step := range []struct {
		after  time.Duration
		ok     bool
		turned bool
	}{
		{0, true, false},
		{stateHold, true, false},
		{time.Second, false, false},
		{stateHold / 2, false, false},
		{time.Second, true, false}, // it only flapped
		{time.Second, false, false},
		{stateHold - time.Second, false, false},
		{time.Second, false, true},
		{time.Hour, false, false}, // once
		{time.Second, true, false},
		{stateHold, true, true},
		{time.Hour, true, false},
	} {
		now = now.Add(step.after)
		if got := s.turned(step.ok, now); got != step.turned {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
