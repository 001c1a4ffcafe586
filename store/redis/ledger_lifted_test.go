package redis

import (
	"context"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

func removedAt(at time.Time, entries ...store.Entry) (events []store.Event) {
	for _, e := range entries {
		events = append(events, store.Event{Kind: store.Removed, Entry: e, At: at})
	}
	return events
}

// TestLiftedStaysLifted holds that a host which was away does not bring back what
// was lifted meanwhile, nor lift what was made since.
func TestLiftedStaysLifted(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	cfg := testConfig(srv.addr)
	cfg.MaxEntries = 1000
	l := openLedger(t, cfg, c.now)
	tab := watchTable(t, l)
	merge := func(e ...store.Entry) {
		t.Helper()
		if err := l.PutAll(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	lift := func(at time.Time, e ...store.Entry) {
		t.Helper()
		for range 2 { // doing it again does no harm
			if err := l.RemoveAll(ctx, removedAt(at, e...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := func(what string, e store.Entry, want bool) {
		t.Helper()
		eventually(t, what, func() bool { return (tab.get(e).Until != time.Time{}) == want })
	}
	old := must[store.Entry](t)(l.Put(ctx, testBan(1)))
	long := old
	long.Until = old.Until.Add(24 * time.Hour)
	c.advance(time.Minute)
	must[bool](t)(l.Remove(ctx, old))
	merge(old, long)
	there("handed over after it was lifted", old, false)
	if got := must[store.Entry](t)(l.Put(ctx, testBan(1))); got.Times != 1 {
		t.Errorf("void bans count: %+v", got)
	}
	there("banned again", old, true)
	merge(long) // the longer one would win
	if got := must[store.Entry](t)(l.Put(ctx, testBan(1))); !got.Until.Before(long.Until) {
		t.Errorf("what was lifted lengthens what was made since: %+v", got)
	}
	c.advance(time.Minute)
	lift(old.Since, old) // made before the ban in force
	there("an unban older than the ban", old, true)
	lift(c.now().Add(time.Hour), old) // by a clock that is ahead
	there("an unban from the future, which is one of now", old, false)
	got := must[store.Entry](t)(l.Put(ctx, testBan(1)))
	if !got.Since.After(c.now()) {
		t.Errorf("a ban in the moment of an unban is not after it: %v", got.Since)
	}
	there("whoever puts has the last word", old, true)
	future := testBan(2) // from a clock that is ahead
	future.Since, future.Until, future.Times = c.now().Add(time.Hour), c.now().Add(2*time.Hour), 1
	merge(future)
	there("a ban from the future", future, true)
	lift(future.Since, future)
	there("an unban of it", future, false)

	// What is remembered is bounded, in number and in time.
	for i := range 1010 {
		c.advance(time.Millisecond)
		must[bool](t)(l.Remove(ctx, testBan(1000+i)))
	}
	if n := srv.do("ZCARD", l.keys[7]).(int64); n != 1000 {
		t.Errorf("%d removals are remembered", n)
	}
	c.advance(61 * 24 * time.Hour)
	eventually(t, "they are forgotten", func() bool { return srv.do("ZCARD", l.keys[7]).(int64) == 0 })
}

// TestTheLastOperatorHolds holds that of what operators said on hosts that were
// parted the last holds, be it shorter.
func TestTheLastOperatorHolds(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	l := openLedger(t, testConfig(srv.addr), c.now)
	tab := watchTable(t, l)
	for _, kind := range []store.EntryKind{store.OperatorBan, store.Allow} {
		long := store.Entry{Kind: kind, Account: "alice", Reason: "long", By: "root"}
		long = must[store.Entry](t)(l.Put(ctx, long))
		short := long
		short.Reason, short.Since, short.Until = "short", c.now().Add(time.Minute).UTC(), c.now().Add(time.Hour).UTC()
		older := long
		older.Reason, older.Since = "older", c.now().Add(-time.Minute)
		for range 2 {
			if err := l.PutAll(ctx, []store.Entry{older, short, long}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the last one", func() bool { return tab.get(long) == short })
	}
}

// TestEventsOfLiftedEntries holds that an unban is told from an end.
func TestEventsOfLiftedEntries(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	l := openLedger(t, testConfig(srv.addr), c.now)
	events := make(chan store.Event, 10)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = l.Watch(watching, func(e store.Event) error { events <- e; return nil }) }()
	next := func(kind store.EventKind) store.Event {
		t.Helper()
		select {
		case e := <-events:
			if e.Kind != kind {
				t.Fatalf("told %+v", e)
			}
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("told nothing")
		}
		return store.Event{}
	}
	next(store.Reset)
	next(store.Synced)
	must[store.Entry](t)(l.Put(ctx, testBan(1)))
	next(store.Put)
	must[bool](t)(l.Remove(ctx, testBan(1)))
	if e := next(store.Removed); !e.At.Equal(c.now()) {
		t.Errorf("lifted: %+v", e)
	}
	must[store.Entry](t)(l.Put(ctx, testBan(2)))
	next(store.Put)
	c.advance(2 * time.Hour)
	if e := next(store.Removed); !e.At.IsZero() {
		t.Errorf("ended: %+v", e)
	}
}
