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
