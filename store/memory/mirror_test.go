package memory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

func bannedPrefix(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 16), byte(n >> 8), byte(n), 66}), 32)
}

// copied are the options of a ledger that is a copy of a shared one.
func copied(path string, c *clock) Options {
	o := quick(path, c)
	o.Shared = true
	return o
}

// theirs is a ban that another host made.
func theirs(c *clock, n int) store.Entry {
	now := millis(c.ms.Load())
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: bannedPrefix(n), Since: now, Until: now.Add(4 * time.Hour),
		Reason: "guessing", Rule: "client", By: "mx2", Times: 3,
	}
}

// mine is a ban to be made here.
func mine(n int) store.Entry {
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: bannedPrefix(n), By: "mx1",
		Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 60 * 24 * time.Hour},
	}
}

func puts(entries ...store.Entry) (events []store.Event) {
	for _, e := range entries {
		events = append(events, store.Event{Kind: store.Put, Entry: e})
	}
	return events
}

func snapshotOf(entries ...store.Entry) []store.Event {
	events := append([]store.Event{{Kind: store.Reset}}, puts(entries...)...)
	return append(events, store.Event{Kind: store.Synced})
}

func mirror(t testing.TB, s *Store, events []store.Event) {
	t.Helper()
	if err := s.Mirror(context.Background(), events); err != nil {
		t.Fatalf("Mirror: %v", err)
	}
}

func put(t testing.TB, s *Store, e store.Entry) store.Entry {
	t.Helper()
	got, err := s.Put(context.Background(), e)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return got
}

// entryOf is the entry of a banned prefix, nil if there is none.
func entryOf(s *Store, n int) *store.Entry {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if e := s.ledger.entries[entryKey{kind: store.AutomaticBan, prefix: bannedPrefix(n)}]; e != nil {
		return &e.Entry
	}
	return nil
}

// reopened is the store as the next process finds it.
func reopened(t *testing.T, s *Store) *Store {
	t.Helper()
	closeStore(t, s)
	return open(t, testConfig(), s.options)
}

func TestMirrorTakesEntriesAsTheyAre(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	e := theirs(c, 1)
	mirror(t, s, puts(e, theirs(c, 2)))
	mirror(t, s, []store.Event{{Kind: store.Removed, Entry: theirs(c, 2)}})
	s = reopened(t, s)
	if got := entryOf(s, 1); got == nil || *got != e {
		t.Errorf("got %+v, want %+v", got, e)
	}
	if entryOf(s, 2) != nil {
		t.Error("a removed entry is there")
	}
	if n := len(s.Pending(9)); n != 0 {
		t.Errorf("%d pending", n)
	}
	c.advance(4*time.Hour + time.Minute)
	if got := put(t, s, mine(1)); got.Times != 4 {
		t.Errorf("banned for the %d. time", got.Times)
	}
}

func TestMirrorIsAnnounced(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	got := make(chan store.Event, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = s.Watch(ctx, func(e store.Event) error { got <- e; return nil }) }()
	<-got
	<-got // an empty snapshot
	mirror(t, s, puts(theirs(c, 1)))
	mirror(t, s, puts(theirs(c, 1))) // says nothing new
	mirror(t, s, snapshotOf())
	if e := <-got; e.Kind != store.Put || e.Entry.Prefix != bannedPrefix(1) {
		t.Errorf("told %+v", e)
	}
	if e := <-got; e.Kind != store.Removed || e.Entry.Prefix != bannedPrefix(1) {
		t.Errorf("told %+v", e)
	}
}

func TestMirrorSnapshotRemovesWhatIsGone(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	mirror(t, s, snapshotOf(theirs(c, 1), theirs(c, 2)))
	put(t, s, mine(3))
	whole := snapshotOf(theirs(c, 2), theirs(c, 4))
	mirror(t, s, whole[:2])
	if entryOf(s, 1) == nil {
		t.Error("gone before the snapshot was complete")
	}
	mirror(t, s, whole[2:])
	s = reopened(t, s)
	for n, want := range map[int]bool{1: false, 2: true, 3: true, 4: true} {
		if (entryOf(s, n) != nil) != want {
			t.Errorf("entry %d is there: %v", n, !want)
		}
	}
}

// A snapshot that breaks off removes nothing, and the next begins anew.
func TestMirrorSnapshotThatBreaksOff(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	mirror(t, s, snapshotOf(theirs(c, 1), theirs(c, 2)))
	mirror(t, s, snapshotOf(theirs(c, 1), theirs(c, 2))[:2])
	mirror(t, s, snapshotOf(theirs(c, 2)))
	if entryOf(s, 1) != nil || entryOf(s, 2) == nil {
		t.Error("the second snapshot does not count")
	}
}

func TestPendingIsKeptUntilHandedOver(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	mirror(t, s, snapshotOf(theirs(c, 1)))
	ban := put(t, s, mine(2))
	if found, err := s.RemovePending(context.Background(), theirs(c, 1)); !found || err != nil {
		t.Errorf("found %v, error %v", found, err)
	}
	s = reopened(t, s)
	// What the shared ledger says of these is older than they are.
	mirror(t, s, snapshotOf(theirs(c, 1)))
	mirror(t, s, []store.Event{{Kind: store.Removed, Entry: ban}})
	if entryOf(s, 1) != nil || entryOf(s, 2) == nil {
		t.Error("a mirrored event has touched what is pending")
	}
	pending := s.Pending(9)
	if len(pending) != 2 || len(s.Pending(1)) != 1 {
		t.Fatalf("pending: %+v", pending)
	}
	if err := s.HandedOver(context.Background(), pending); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, s)
	if n := len(s.Pending(9)); n != 0 {
		t.Errorf("%d pending", n)
	}
	mirror(t, s, snapshotOf(theirs(c, 1)))
	if entryOf(s, 1) == nil || entryOf(s, 2) != nil {
		t.Error("the shared ledger does not decide")
	}
}

// What changed while it was handed over is still to be handed over.
func TestHandedOverTooLate(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	e := store.Entry{Kind: store.OperatorBan, Prefix: bannedPrefix(1), Reason: "one"}
	put(t, s, e)
	pending := s.Pending(9)
	e.Reason = "two"
	put(t, s, e)
	if err := s.HandedOver(context.Background(), pending); err != nil {
		t.Fatal(err)
	}
	if got := s.Pending(9); len(got) != 1 || got[0].Entry.Reason != "two" {
		t.Errorf("pending: %+v", got)
	}
}

func TestAdoptOverridesWhatIsPending(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	put(t, s, mine(1))
	if _, err := s.RemovePending(context.Background(), theirs(c, 2)); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := s.Adopt(context.Background(), puts(theirs(c, n))[0]); err != nil {
			t.Fatal(err)
		}
		if got := entryOf(s, n); got == nil || *got != theirs(c, n) {
			t.Errorf("got %+v", got)
		}
	}
	if got := s.Pending(9); len(got) != 0 {
		t.Errorf("pending: %+v", got)
	}
}

// An answer that comes after the events that tell of it, and of what came next,
// changes nothing; also in the middle of a snapshot.
func TestAdoptComesLate(t *testing.T) {
	at := func(n uint64, e store.Event) store.Event { e.Position.Millis = n; return e }
	for name, begin := range map[string][]store.Event{
		"after a snapshot": {at(1, store.Event{Kind: store.Reset}), at(1, store.Event{Kind: store.Synced})},
		"within one":       {at(1, store.Event{Kind: store.Reset})},
	} {
		c := newClock()
		s := open(t, testConfig(), copied("", c))
		adopt := func(e store.Event) {
			t.Helper()
			if _, err := s.Adopt(context.Background(), e); err != nil {
				t.Fatal(err)
			}
		}
		mirror(t, s, begin)
		put, gone := puts(theirs(c, 1))[0], store.Event{Kind: store.Removed, Entry: theirs(c, 1), At: c.now()}
		adopt(at(5, put))
		if entryOf(s, 1) == nil {
			t.Errorf("%s: what comes early is not taken", name)
		}
		mirror(t, s, []store.Event{at(5, put), at(6, gone)})
		adopt(at(5, put))
		if entryOf(s, 1) != nil {
			t.Errorf("%s: a late answer brings back what was lifted", name)
		}
		c.advance(time.Second)
		again := puts(theirs(c, 1))[0]
		mirror(t, s, []store.Event{at(7, again)})
		adopt(at(6, gone))
		if entryOf(s, 1) == nil {
			t.Errorf("%s: a late answer lifts what was banned since", name)
		}
		adopt(at(8, store.Event{Kind: store.Removed, Entry: theirs(c, 1), At: c.now()}))
		if entryOf(s, 1) != nil {
			t.Errorf("%s: an early answer does not lift", name)
		}
	}
}

// An unban forgets how often it was, an end does not.
func TestMirroredRemovalForgets(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	mirror(t, s, puts(theirs(c, 1), theirs(c, 2)))
	mirror(t, s, []store.Event{{Kind: store.Removed, Entry: theirs(c, 1), At: c.now()}})
	c.advance(4*time.Hour - time.Second) // their clock may be ahead
	mirror(t, s, []store.Event{{Kind: store.Removed, Entry: theirs(c, 2)}})
	if a, b := put(t, s, mine(1)).Times, put(t, s, mine(2)).Times; a != 1 || b != 4 {
		t.Errorf("unbanned: %d, ended: %d", a, b)
	}
}

func TestMirrorIsBounded(t *testing.T) {
	c := newClock()
	cfg := testConfig()
	cfg.Bans = 1000
	s := open(t, cfg, copied("", c))
	var all []store.Entry
	for n := range 1100 {
		all = append(all, theirs(c, n))
	}
	if err := s.Mirror(context.Background(), snapshotOf(all...)); !errors.Is(err, store.ErrFull) {
		t.Errorf("error %v", err)
	}
	if n := s.ledger.count(store.AutomaticBan); n != 1000 {
		t.Errorf("%d entries", n)
	}
}

// The shared ledger is durable: a disk that fails here loses nothing.
func TestMirrorWithoutADisk(t *testing.T) {
	c := newClock()
	s, err := Open(testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	if err := s.file.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Mirror(context.Background(), puts(theirs(c, 1))); err == nil {
		t.Error("no error")
	}
	if entryOf(s, 1) == nil {
		t.Error("not in force")
	}
}

func TestMirrorOfManyEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	const many = 20_000
	c := newClock()
	cfg := testConfig()
	cfg.Bans = 2 * many
	opts := copied(filepath.Join(t.TempDir(), "state.db"), c)
	s := open(t, cfg, opts)
	all := make([]store.Entry, many)
	for n := range all {
		all[n] = theirs(c, n)
	}
	run := func(what string, events []store.Event) {
		began := time.Now()
		for ; len(events) > 0; events = events[min(len(events), mirrorBatch):] {
			mirror(t, s, events[:min(len(events), mirrorBatch)])
		}
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
	}
	run(fmt.Sprintf("%d new entries", many), snapshotOf(all...))
	run("the same again", snapshotOf(all...))
	closeStore(t, s)
	began := time.Now()
	s = open(t, cfg, opts)
	t.Logf("opening: %v", time.Since(began).Round(time.Millisecond))
	if n := s.ledger.count(store.AutomaticBan); n != many {
		t.Errorf("%d entries", n)
	}
	run("all but 10 removed", snapshotOf(all[:10]...))
	if n := s.ledger.count(store.AutomaticBan); n != 10 {
		t.Errorf("%d entries", n)
	}
}
