package redis

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

// placed is an operator's entry.
func placed(kind store.EntryKind, n int) store.Entry {
	return store.Entry{Kind: kind, Prefix: testBan(n).Prefix, By: "root"}
}

// counted holds that a ledger knows which of its entries operators made.
func counted(t *testing.T, l *ledger) {
	t.Helper()
	ctx := context.Background()
	var want []string
	for _, name := range must[[]string](t)(l.client.HKeys(ctx, l.keys[keyEntries]).Result()) {
		if name[0] != '2' {
			want = append(want, name)
		}
	}
	got := must[[]string](t)(l.client.HKeys(ctx, l.keys[keyPlaced]).Result())
	got = slices.DeleteFunc(got, func(name string) bool { return name == "" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries are known as operators', %d are", len(got), len(want))
	}
}

// TestRoom holds that automatic bans leave operators a reserve, and that there is
// an end to that too.
func TestRoom(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	cfg := testConfig(srv.addr)
	cfg.MaxEntries = 10
	l := openLedger(t, cfg, c.now)
	refused := func(what string, entries ...store.Entry) {
		t.Helper()
		for _, e := range entries {
			if _, err := l.Put(ctx, e); !errors.Is(err, store.ErrFull) {
				t.Errorf("%s: put: %v", what, err)
			}
			e.Until, e.Ladder = c.now().Add(time.Hour), store.Ladder{}
			if err := l.PutAll(ctx, []store.Entry{e}); !errors.Is(err, store.ErrFull) {
				t.Errorf("%s: merged: %v", what, err)
			}
		}
	}
	put := func(e store.Entry) { t.Helper(); must[store.Entry](t)(l.Put(ctx, e)) }

	// What operators placed takes no room from automatic bans.
	for i := range 20 {
		put(placed(store.OperatorBan, i))
	}
	short := placed(store.Allow, 0)
	short.Until = c.now().Add(30 * time.Minute)
	put(short)
	merged := placed(store.Allow, 1)
	if err := l.PutAll(ctx, []store.Entry{merged, merged}); err != nil {
		t.Fatal(err)
	}
	counted(t, l)
	for i := range 10 {
		put(testBan(i))
	}
	refused("automatic", testBan(10))
	put(placed(store.OperatorBan, 20))
	put(placed(store.OperatorBan, 3)) // again
	counted(t, l)

	// An operator's entry that goes makes no room for an automatic ban.
	if !must[bool](t)(l.Remove(ctx, merged)) {
		t.Error("not found")
	}
	c.advance(45 * time.Minute)
	l.sweep(ctx)
	counted(t, l)
	refused("automatic after the operators'", testBan(10))
	if !must[bool](t)(l.Remove(ctx, testBan(3))) {
		t.Error("not found")
	}
	put(testBan(10))
	refused("automatic again", testBan(11))

	// The reserve has an end as well: 10 and 1000, of which 10 are automatic.
	for i := 21; i < 1000; i++ {
		put(placed(store.OperatorBan, i))
	}
	refused("beyond the reserve", placed(store.OperatorBan, 1000), placed(store.Allow, 5), testBan(11))
	put(placed(store.OperatorBan, 999))
	c.advance(time.Hour)
	put(placed(store.OperatorBan, 1000)) // bans are over
	put(testBan(11))
	counted(t, l)
}

// TestCountHeals holds that a ledger which does not know what operators placed,
// since another version wrote it or a key was lost, finds out.
func TestCountHeals(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	cfg := testConfig(srv.addr)
	cfg.MaxEntries = 4000
	l := openLedger(t, cfg, c.now)
	var entries []store.Entry
	for i := range 2000 {
		e := testBan(i)
		e.Until, e.Ladder = c.now().Add(time.Hour), store.Ladder{}
		entries = append(entries, e, placed(store.EntryKind(i%2), i))
	}
	entries = append(entries, store.Entry{Kind: store.Allow, Account: "alice@example.org"},
		store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("2001:db8::/32")})
	if err := l.PutAll(ctx, entries); err != nil {
		t.Fatal(err)
	}
	counted(t, l)
	srv.do("DEL", l.keys[keyPlaced])
	if _, err := l.Put(ctx, testBan(3000)); !errors.Is(err, store.ErrFull) {
		t.Errorf("not known what operators placed: %v", err) // rather too few bans than no reserve
	}
	// It is found out in steps, and what changes meanwhile is known.
	for i, more := 0, 1; more == 1; i++ {
		more = must[int](t)(l.run(ctx, "sweep", cfg.StreamLength, 50).Int())
		must[bool](t)(l.Remove(ctx, placed(store.EntryKind(i%2), i)))
		must[store.Entry](t)(l.Put(ctx, placed(store.Allow, 5000+i)))
	}
	counted(t, l)
	must[store.Entry](t)(l.Put(ctx, testBan(3000)))
}
