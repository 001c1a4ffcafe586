package memory

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

func liftPending(t testing.TB, s *Store, e store.Entry) {
	t.Helper()
	if _, err := s.RemovePending(context.Background(), e); err != nil {
		t.Fatalf("RemovePending: %v", err)
	}
}

func handOver(t testing.TB, s *Store) []store.Event {
	t.Helper()
	events := s.Pending(1000)
	if err := s.HandedOver(context.Background(), events); err != nil {
		t.Fatalf("HandedOver: %v", err)
	}
	return events
}

// A removal made while the shared ledger was away lifts what was made before it,
// and not what somebody else made since.
func TestARemovalHasATime(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	old, other := theirs(c, 1), theirs(c, 2)
	mirror(t, s, named("first", old, other))
	c.advance(time.Minute)
	lifted := c.now()
	liftPending(t, s, old)
	liftPending(t, s, other)
	c.advance(time.Minute)
	s = reopened(t, s)
	newer := theirs(c, 2) // banned again on another host
	mirror(t, s, puts(old, newer))
	if entryOf(s, 1) != nil || entryOf(s, 2) == nil {
		t.Error("the one before it is back, or the one since is not")
	}
	for _, e := range handOver(t, s) {
		if e.Kind != store.Removed || !e.At.Equal(lifted) {
			t.Errorf("handed over: %+v", e)
		}
	}
	if n := len(s.Pending(9)); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// What was lifted here or elsewhere is told to a shared ledger that was lost or
// came back older.
func TestALostLedgerIsToldWhatWasLifted(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	e := []store.Entry{theirs(c, 0), theirs(c, 1), theirs(c, 2), theirs(c, 3), theirs(c, 4)}
	mirror(t, s, named("first", e...))
	c.advance(time.Minute)
	lifted := c.now()
	if _, err := s.Remove(context.Background(), e[0]); err != nil { // here, when the shared one had done so
		t.Fatal(err)
	}
	liftPending(t, s, e[1])
	handOver(t, s)
	mirror(t, s, []store.Event{{Kind: store.Removed, Entry: e[2], At: lifted}}) // elsewhere
	mirror(t, s, named("first", e[4]))                                          // e[3] went while nobody looked
	s = reopened(t, s)
	mirror(t, s, named("second", e...))
	for n := range e {
		if got := entryOf(s, n) != nil; got != (n == 4) {
			t.Errorf("ban %d is in force: %v", n, got)
		}
	}
	want := map[int]time.Time{0: lifted, 1: lifted, 2: lifted, 3: e[3].Since}
	pending := handOver(t, s)
	if len(pending) != len(want) {
		t.Fatalf("%d wait: %+v", len(pending), pending)
	}
	for _, p := range pending {
		for n, at := range want {
			if p.Entry.Prefix == bannedPrefix(n) && (p.Kind != store.Removed || !p.At.Equal(at)) {
				t.Errorf("ban %d: %+v", n, p)
			}
		}
	}
	// In the end they are forgotten.
	c.advance(liftedFor + time.Hour)
	eventuallyIn(t, "what was lifted is forgotten", func() bool {
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		return len(s.ledger.lifted) == 0
	})
}

// Who puts has the last word, even by a clock that stands still.
func TestAPutAfterARemoval(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	e := mine(1)
	put(t, s, e)
	liftPending(t, s, e)
	got := put(t, s, e)
	pending := s.Pending(9)
	if len(pending) != 2 || pending[0].Kind != store.Removed || !got.Since.After(pending[0].At) {
		t.Errorf("the entry since %v, pending %+v", got.Since, pending)
	}
}

func TestWhatWasLiftedIsBounded(t *testing.T) {
	c, cfg := newClock(), testConfig()
	cfg.Bans = 1000
	s := open(t, cfg, copied("", c))
	limit := cfg.Bans + cfg.reserve()
	size := func() int {
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		return len(s.ledger.lifted) + len(s.ledger.waiting)
	}
	for n := range limit + 500 {
		c.advance(time.Millisecond)
		if _, err := s.Remove(context.Background(), theirs(c, n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := size(); n > limit {
		t.Errorf("%d are remembered", n)
	}
	// Those that wait are not forgotten for others.
	failed := 0
	for n := range limit + 10 {
		if _, err := s.RemovePending(context.Background(), theirs(c, 10_000+n)); err != nil {
			failed++
		}
	}
	if n := len(s.Pending(2 * limit)); n != limit || failed != 10 {
		t.Errorf("%d wait, %d were refused", n, failed)
	}
}

// A ban that began and ended while the shared ledger was away makes the next one
// longer there too.
func TestABanThatEndedIsHandedOver(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	w := make(chan store.Event, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = s.Watch(ctx, func(e store.Event) error { w <- e; return nil }) }()
	got := put(t, s, mine(1))
	for e := range w {
		if e.Kind == store.Put || e.Kind == store.Synced && len(w) == 0 && entryOf(s, 1) != nil {
			break
		}
	}
	c.advance(2 * time.Hour)
	for e := range w {
		if e.Kind == store.Removed {
			break
		}
	}
	s = reopened(t, s)
	pending := s.Pending(9)
	if len(pending) != 1 || pending[0].Entry != got {
		t.Fatalf("pending: %+v", pending)
	}
	if again := put(t, s, mine(1)); again.Times != 2 {
		t.Errorf("the next is the %d. ban", again.Times)
	}
	c.advance(5 * time.Hour)
	eventuallyIn(t, "the second ends", func() bool { s.ledger.mu.Lock(); defer s.ledger.mu.Unlock(); return s.ledger.over == 1 })
	if p := handOver(t, s); len(p) != 1 || p[0].Entry.Times != 2 {
		t.Errorf("handed over: %+v", p)
	}
	if n, e := len(s.Pending(9)), entryOf(s, 1); n != 0 || e != nil {
		t.Errorf("%d wait; kept %+v", n, e)
	}
}

// What has ended takes no room from what is new.
func TestBansThatEndedTakeNoRoom(t *testing.T) {
	c, cfg := newClock(), testConfig()
	cfg.Bans = 1000
	s := open(t, cfg, copied("", c))
	for round := range 3 {
		for n := range cfg.Bans {
			put(t, s, mine(round*cfg.Bans+n))
		}
		c.advance(2 * time.Hour)
		eventuallyIn(t, "they end", func() bool {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			return s.ledger.over == s.ledger.counts[store.AutomaticBan]
		})
	}
	if n := s.ledger.count(store.AutomaticBan); n > 2*cfg.Bans {
		t.Errorf("%d are kept", n)
	}
}

func eventuallyIn(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(fmt.Sprint("waited in vain: ", what))
		}
	}
}

// A removal that an earlier version noted, without a time, is handed over.
func TestARemovalWithoutATime(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	old := theirs(c, 1)
	k := keyOf(&old)
	if err := s.file.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(nameRemovals))
		if err != nil {
			return err
		}
		return b.Put(k.bytes(), boltfile.Seal(k.bytes(), nil))
	}); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	s = reopened(t, s)
	mirror(t, s, puts(old))
	if entryOf(s, 1) != nil {
		t.Error("what was lifted is back")
	}
	if events := handOver(t, s); len(events) != 1 || events[0].Kind != store.Removed || !events[0].At.Equal(c.now()) {
		t.Errorf("handed over: %+v", events)
	}
}
