package memory

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
)

// Whoever earns bans from ever new addresses fills neither the memory nor the
// file with what is remembered of them.
func TestHistoriesAndEndingsAreBounded(t *testing.T) {
	c := newClock()
	opts := quick(filepath.Join(t.TempDir(), "state.db"), c)
	s := open(t, smallest(), opts)
	close(s.done) // the ledger is the test's alone
	s.running.Wait()
	l := s.ledger
	for round := range 30 {
		d := l.newDraft()
		for n := range 900 {
			if a := d.put(mine(1000*round + n)); a.err != nil {
				t.Fatal(a.err)
			}
		}
		if err := d.save(); err != nil {
			t.Fatal(err)
		}
		d.apply()
		c.advance(2 * time.Hour)
		l.expire()
		if most := 2*(l.limit+l.reserve+l.limit) + spareEndings; len(l.ends.list) > most {
			t.Fatalf("round %d: %d endings", round, len(l.ends.list))
		}
	}
	if len(l.history) != l.limit || len(l.entries) != 0 {
		t.Errorf("%d histories, %d entries", len(l.history), len(l.entries))
	}
	if n := len(l.ends.list); n > 2*l.limit+spareEndings {
		t.Errorf("%d endings", n)
	}
	// Every history that is left has its ending.
	c.advance(100 * 24 * time.Hour)
	if err := s.file.DB.View(func(tx *bbolt.Tx) error {
		if n := tx.Bucket([]byte(nameHistory)).Stats().KeyN; n != l.limit {
			t.Errorf("the file has %d histories", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l.expire()
	if len(l.history) != 0 || len(l.ends.list) != 0 {
		t.Errorf("%d histories, %d endings", len(l.history), len(l.ends.list))
	}
	s.done = make(chan struct{}) // for Close
}

// A disk that does not answer holds nobody beyond their time, and what was
// asked is done when it does.
func TestPutWaitsNoLongerThanItsContext(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), quick(filepath.Join(t.TempDir(), "state.db"), c))
	put(t, s, mine(1))
	stuck, err := s.file.DB.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(ctx context.Context) error{
		"Put":    func(ctx context.Context) error { _, err := s.Put(ctx, mine(2)); return err },
		"Remove": func(ctx context.Context) error { _, err := s.Remove(ctx, mine(1)); return err },
		"Mirror": func(ctx context.Context) error { return s.Mirror(ctx, puts(theirs(c, 3))) },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v", name, err)
		}
		cancel()
	}
	if err := stuck.Rollback(); err != nil {
		t.Fatal(err)
	}
	// One of them was taken; only that one is sure to be carried out.
	put(t, s, mine(4))
	if entryOf(s, 2) == nil && entryOf(s, 1) != nil && entryOf(s, 3) == nil {
		t.Error("nothing was carried out")
	}
}

func TestMirrorLeavesRoomForOperators(t *testing.T) {
	c := newClock()
	s := open(t, smallest(), quick("", c))
	var all []store.Entry
	for n := range 1000 {
		all = append(all, theirs(c, n))
	}
	mirror(t, s, snapshotOf(all...))
	mirror(t, s, puts(store.Entry{Kind: store.Allow, Account: "alice@example.org", Since: millis(c.ms.Load())}))
	if s.ledger.count(store.Allow) != 1 {
		t.Error("no room for an entry of the allowlist")
	}
}

// A mirrored ban that was only observed counts for observed ones.
func TestMirroredObservedBans(t *testing.T) {
	c := newClock()
	s := open(t, smallest(), quick("", c))
	e := theirs(c, 1)
	e.Observed = true
	mirror(t, s, puts(e))
	c.advance(5 * time.Hour)
	if got := put(t, s, mine(1)); got.Times != 1 {
		t.Errorf("enforced for the %d. time", got.Times)
	}
}
