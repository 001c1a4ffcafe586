package memory

import (
	"path/filepath"
	"testing"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// named is a snapshot of a ledger with a name.
func named(name string, entries ...store.Entry) []store.Event {
	events := snapshotOf(entries...)
	events[0].Ledger = name
	return events
}

// A shared ledger that comes back under another name was lost: what it had told
// of is handed over, now and after a restart, instead of being removed.
func TestALostLedgerIsToldWhatItHeld(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	mirror(t, s, named("first", theirs(c, 1), theirs(c, 2)))
	if n := len(s.Pending(10)); n != 0 {
		t.Fatalf("%d wait although the ledger has them", n)
	}
	s = reopened(t, s)
	mirror(t, s, named("first", theirs(c, 1)))
	if entryOf(s, 2) != nil || entryOf(s, 1) == nil {
		t.Fatal("the same ledger's snapshot is not followed")
	}
	s = reopened(t, s)
	mirror(t, s, named("second"))
	// The ban waits, and that the other one is gone.
	if entryOf(s, 1) == nil || len(s.Pending(10)) != 2 {
		t.Fatalf("the ban is lost with the ledger; %d wait", len(s.Pending(10)))
	}
	s = reopened(t, s)
	events := s.Pending(10)
	if len(events) != 2 || events[0].Kind != store.Removed || events[1].Kind != store.Put {
		t.Fatalf("after a restart %d wait", len(events))
	}
	if err := s.HandedOver(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	mirror(t, s, named("second", events[1].Entry))
	if entryOf(s, 1) == nil || len(s.Pending(10)) != 0 {
		t.Error("it is not the new ledger's now")
	}
}

// An unban on another host forgets the score here too; a ban that ends does not.
func TestAnUnbanElsewhereForgetsTheScoreHere(t *testing.T) {
	for name, lifted := range map[string]bool{"lifted": true, "over": false} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s := open(t, testConfig(), copied("", c))
			op := store.Op{
				Verb: store.Record, ID: 1, Client: bannedPrefix(1), Network: bannedPrefix(1), Account: "alice",
				Outcome: score.Failure, Count: 20, Rules: storetest.Rules(),
			}
			out := make([]store.Standing, 1)
			if err := s.Do(t.Context(), []store.Op{op}, out); err != nil {
				t.Fatal(err)
			}
			e := theirs(c, 1)
			mirror(t, s, named("first", e))
			gone := store.Event{Kind: store.Removed, Entry: e}
			if lifted {
				gone.At = c.now()
			}
			mirror(t, s, []store.Event{gone})
			op.Verb = store.Look
			if err := s.Do(t.Context(), []store.Op{op}, out); err != nil {
				t.Fatal(err)
			}
			if (out[0].Client.Score == 0) != lifted {
				t.Errorf("the client has %d", out[0].Client.Score)
			}
		})
	}
}

// A host that dies in a ledger's first snapshot does not take the position in the
// ledger before for one in this.
func TestThePositionIsOfALedger(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied(filepath.Join(t.TempDir(), "state.db"), c))
	follow := func(name string, from, to uint64) {
		t.Helper()
		events := named(name, theirs(c, 1))
		events[0].Position.Millis = from
		events[len(events)-1].Position.Millis = to
		if to == 0 {
			events = events[:len(events)-1]
		}
		mirror(t, s, events)
	}
	followed := func(name string, at uint64) {
		t.Helper()
		for range 2 {
			if got, to := s.Followed(); got != name || to.Millis != at {
				t.Errorf("followed %q to %v, want %q to %d", got, to, name, at)
			}
			s = reopened(t, s)
		}
	}
	follow("first", 10, 20)
	followed("first", 20)
	follow("second", 5, 0)
	if p := s.ledger.position; p.Millis != 20 {
		t.Errorf("in the middle of a snapshot the position is %v", p)
	}
	followed("", 0)
	follow("second", 5, 20) // where the first was
	followed("second", 20)
	follow("third", 4, 5)
	followed("third", 5)
}

// A snapshot that was taken before a ban was handed over does not lift it.
func TestAnOlderSnapshotSparesWhatWasHandedOver(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), copied("", c))
	put(t, s, mine(1))
	events := named("first", theirs(c, 2))
	mirror(t, s, events[:2])
	handOver(t, s)
	mirror(t, s, events[2:])
	if entryOf(s, 1) == nil || len(s.Pending(9)) != 0 {
		t.Error("the ban is gone")
	}
	mirror(t, s, events) // and one taken after that decides
	if entryOf(s, 1) != nil {
		t.Error("the ban is still there")
	}
}
