package memory

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// clock is a clock that the test moves.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

func testConfig() Config { return Config{Subjects: 100_000, Bans: 10_000, Familiar: 10_000} }

// quick are options under which a test does not wait.
func quick(path string, c *clock) Options {
	return Options{Path: path, Now: c.now, GatherFor: 2 * time.Millisecond, SweepEvery: 64 * time.Millisecond}
}

func open(t testing.TB, cfg Config, opts Options) *Store {
	t.Helper()
	s, err := Open(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestContractWithoutFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		c := newClock()
		return storetest.Fixture{
			Store: open(t, smallest(), quick("", c)), Now: c.now, Advance: c.advance,
			Bans: smallest().Bans,
		}
	})
}

func TestContractWithFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		c := newClock()
		opts := quick(filepath.Join(t.TempDir(), "state.db"), c)
		s := open(t, smallest(), opts)
		return storetest.Fixture{
			Store: s, Now: c.now, Advance: c.advance, Bans: smallest().Bans,
			Reopen: func() store.Store {
				closeStore(t, s)
				s = open(t, smallest(), opts)
				return s
			},
		}
	})
}
