package memory

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// What the file of before holds.
const (
	before      = "testdata/state-format-1.db.gz" // written on 2026-11-26
	beforeCount = 60
)

// fillBefore gives a store what is in that file.
func fillBefore(t *testing.T, s *Store) {
	t.Helper()
	fill(t, s, beforeCount)
	for _, e := range []store.Entry{
		{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Reason: "for good", By: "root"},
		{Kind: store.Allow, Account: "boss@example.org", Reason: "the boss", By: "root"},
	} {
		if _, err := s.Put(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAFileOfBeforeIsRead has this program go on with a state file that an earlier one
// wrote. What it holds must be what a store holds that was told the same today. Should
// the format change, this file stays, and another comes beside it.
func TestAFileOfBeforeIsRead(t *testing.T) {
	if os.Getenv("SASLGUARD_WRITE_STATE") != "" {
		writeBefore(t)
	}
	packed, err := os.ReadFile(before)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	old := open(t, testConfig(), quick(path, newClock()))
	if set := asides(t, path); len(set) > 0 {
		t.Fatalf("it is set aside: %v", set)
	}
	fresh := open(t, testConfig(), quick("", newClock()))
	fillBefore(t, fresh)
	if got, want := len(old.ledger.entries), len(fresh.ledger.entries); got != want {
		t.Errorf("%d bans and allowed, want %d", got, want)
	}
	for k, e := range fresh.ledger.entries {
		if o := old.ledger.entries[k]; o.Reason != e.Reason || !o.Until.Equal(e.Until) || o.By != e.By {
			t.Errorf("%v is %+v, want %+v", k, o, e)
		}
	}
	for i := range beforeCount {
		for _, account := range []string{fmt.Sprintf("user%d@example.org", i), fmt.Sprintf("friend%d@example.org", i/maxNetworks)} {
			client, network := attacker(i)
			var got, want [1]store.Standing
			op := []store.Op{{Client: client, Network: network, Account: account, Rules: storetest.Rules()}}
			if err := old.Do(context.Background(), op, got[:]); err != nil {
				t.Fatal(err)
			}
			if err := fresh.Do(context.Background(), op, want[:]); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%v and %s are %+v, want %+v", client, account, got[0], want[0])
			}
		}
	}
}

// writeBefore writes the file anew, which is wanted for a new format only.
func writeBefore(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(testConfig(), quick(path, newClock()))
	if err != nil {
		t.Fatal(err)
	}
	fillBefore(t, s)
	closeStore(t, s)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(before, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
