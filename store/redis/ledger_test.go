package redis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// ledgerStore is the ledger as the contract wants it: a store that keeps no
// scores.
type ledgerStore struct{ *ledger }

var errNoScores = errors.New("no scores here")

func (ledgerStore) Do(context.Context, []store.Op, []store.Standing) error { return errNoScores }
func (ledgerStore) ForgetClient(context.Context, netip.Prefix) error       { return errNoScores }
func (ledgerStore) ForgetAccount(context.Context, string) (int, error)     { return 0, errNoScores }
func (ledgerStore) Key() [16]byte                                          { return [16]byte{} }
func (s ledgerStore) Close(context.Context) error                          { s.endLedger(); return nil }

func TestLedgerContract(t *testing.T) {
	srv := startServer(t)
	n := 0
	storetest.RunGroups(t, []string{"ledger", "watch"}, func(t *testing.T) storetest.Fixture {
		n++
		cfg, c := testConfig(srv.addr), newTestClock()
		cfg.Prefix, cfg.MaxEntries = fmt.Sprintf("test%d", n), 1000
		l := openLedger(t, cfg, c.now)
		return storetest.Fixture{Store: ledgerStore{l}, Now: c.now, Advance: c.advance, Bans: cfg.MaxEntries}
	})
}

func testBan(n int) store.Entry {
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32),
		Reason: "guessing passwords", Rule: "client", By: "mx1",
		Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 60 * 24 * time.Hour},
	}
}

// TestHostsRaceForABan holds that hosts which ban the same client at once make
// one ban, and its next one is the second.
func TestHostsRaceForABan(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	c := newTestClock()
	hosts := []*ledger{openLedger(t, testConfig(srv.addr), c.now), openLedger(t, testConfig(srv.addr), c.now)}
	for round := 1; round <= 3; round++ {
		got := make([]store.Entry, 40)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() {
				e := testBan(1)
				e.By = fmt.Sprint("mx", i%2)
				var err error
				if got[i], err = hosts[i%2].Put(ctx, e); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, e := range got {
			if e != got[0] || e.Times != round {
				t.Fatalf("round %d: %+v and %+v", round, e, got[0])
			}
		}
		c.advance(got[0].Until.Sub(c.now()) + time.Minute)
	}
}

func TestFull(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	cfg := testConfig(srv.addr)
	cfg.MaxEntries = 10
	l := openLedger(t, cfg, c.now)
	for i := range 10 {
		must[store.Entry](t)(l.Put(ctx, testBan(i)))
	}
	if _, err := l.Put(ctx, testBan(10)); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v", err)
	}
	if err := l.PutAll(ctx, []store.Entry{testBan(3), testBan(11)}); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v", err)
	}
	must[store.Entry](t)(l.Put(ctx, testBan(3)))
	c.advance(2 * time.Hour)
	must[store.Entry](t)(l.Put(ctx, testBan(10))) // the first ten are over
	// As many histories as entries: the first to be forgotten made room.
	if n := srv.do("ZCARD", l.keys[3]).(int64); n != 10 {
		t.Errorf("%d histories", n)
	}
	if n, past := srv.do("HLEN", l.keys[2]).(int64), srv.do("ZCARD", l.keys[1]).(int64); n != 10 || past != 1 {
		t.Errorf("%d histories, %d ends", n, past)
	}
}

// TestLadder holds the script's arithmetic against store.Ladder.
func TestLadder(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	l := openLedger(t, testConfig(srv.addr), c.now)
	for i, ladder := range []store.Ladder{
		{First: time.Minute, Max: time.Minute, Forget: 1000 * time.Hour},
		{First: time.Minute, Max: 3 * time.Minute, Forget: 1000 * time.Hour},
		{First: 7 * time.Second, Max: 1000 * time.Second, Forget: 1000 * time.Hour},
		{First: time.Hour, Max: 30 * 24 * time.Hour, Forget: 60 * 24 * time.Hour},
	} {
		for n := 1; n <= 14; n++ {
			e := testBan(i)
			e.Ladder = ladder
			got := must[store.Entry](t)(l.Put(ctx, e))
			if want := ladder.Duration(n); got.Times != n || got.Until.Sub(c.now()) != want {
				t.Fatalf("%+v, ban %d: %d times, %v; want %v", ladder, n, got.Times, got.Until.Sub(c.now()), want)
			}
			c.advance(got.Until.Sub(c.now()))
		}
	}
}

func TestPutAll(t *testing.T) {
	ctx := context.Background()
	c := newTestClock()
	in := func(d time.Duration) time.Time { return c.now().Add(d).UTC() }
	entry := func(until time.Time, observed bool, times int) store.Entry {
		e := testBan(1)
		e.Ladder, e.Since, e.Until, e.Observed, e.Times = store.Ladder{}, in(-time.Hour), until, observed, times
		return e
	}
	never := time.Time{}
	srv := startServer(t)
	for i, x := range []struct {
		name      string
		old       store.Entry
		with      store.Entry
		want      time.Time
		observed  bool
		times     int
		forgotten bool // there is no old one
	}{
		{"none before", store.Entry{}, entry(in(time.Hour), false, 3), in(time.Hour), false, 3, true},
		{"later", entry(in(time.Hour), false, 1), entry(in(2*time.Hour), false, 1), in(2 * time.Hour), false, 1, false},
		{"sooner, and more often", entry(in(3*time.Hour), false, 1), entry(in(2*time.Hour), false, 5), in(3 * time.Hour), false, 1, false},
		{"later, and less often", entry(in(time.Hour), false, 1), entry(in(2*time.Hour), false, 0), in(2 * time.Hour), false, 1, false},
		{"never", entry(in(time.Hour), false, 1), entry(never, false, 1), never, false, 1, false},
		{"never before", entry(never, false, 1), entry(in(time.Hour), false, 1), never, false, 1, false},
		{"observed before", entry(in(3*time.Hour), true, 1), entry(in(time.Hour), false, 1), in(time.Hour), false, 1, false},
		{"only observed", entry(in(time.Hour), false, 1), entry(in(3*time.Hour), true, 1), in(time.Hour), false, 1, false},
	} {
		cfg := testConfig(srv.addr)
		cfg.Prefix = fmt.Sprint("merge", i)
		l := openLedger(t, cfg, c.now)
		if !x.forgotten {
			must[store.Entry](t)(l.Put(ctx, x.old))
		}
		for range 2 { // doing it again does no harm
			if err := l.PutAll(ctx, []store.Entry{x.with}); err != nil {
				t.Fatal(err)
			}
		}
		table := watchTable(t, l)
		got := table.get(x.with)
		if !got.Until.Equal(x.want) || got.Observed != x.observed || got.Times != x.times {
			t.Errorf("%s: got %+v", x.name, got)
		}
	}
	// A ban that came and went while Redis was away counts nevertheless.
	cfg := testConfig(srv.addr)
	cfg.Prefix = "gone"
	l := openLedger(t, cfg, c.now)
	if err := l.PutAll(ctx, []store.Entry{entry(in(-time.Minute), false, 2)}); err != nil {
		t.Fatal(err)
	}
	if got := must[store.Entry](t)(l.Put(ctx, testBan(1))); got.Times != 3 {
		t.Errorf("got %+v", got)
	}
}

// An operator has allowed an address, and a program one that a host name resolves to,
// while Redis was away: the operator's holds, whichever was there, whichever is later and
// whichever lasts longer.
func TestPutAllYieldsToOperators(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	in := func(d time.Duration) time.Time { return c.now().Add(d).UTC() }
	for i, x := range []struct{ operators, programs, operatorsEnd time.Time }{
		{in(-time.Minute), in(-time.Minute), time.Time{}},
		{in(-time.Minute), in(-time.Second), time.Time{}},
		{in(-time.Second), in(-time.Minute), time.Time{}},
		{in(-time.Minute), in(-time.Second), in(time.Minute)},
		{in(-time.Second), in(-time.Minute), in(time.Minute)},
	} {
		operators := store.Entry{Kind: store.Allow, Prefix: testBan(1).Prefix, Since: x.operators, Until: x.operatorsEnd, Reason: "the office", By: "root"}
		programs := store.Entry{Kind: store.Allow, Prefix: testBan(1).Prefix, Since: x.programs, Until: in(15 * time.Minute), Rule: "name home.example.org", By: "mx1"}
		for j, order := range [][]store.Entry{{operators, programs}, {programs, operators}} {
			cfg := testConfig(srv.addr)
			cfg.Prefix = fmt.Sprint("yields", i, j)
			l := openLedger(t, cfg, c.now)
			for _, e := range append(order, order...) { // doing it again does no harm
				if err := l.PutAll(ctx, []store.Entry{e}); err != nil {
					t.Fatal(err)
				}
			}
			if got := watchTable(t, l).get(operators); got.Reason != operators.Reason || !got.Until.Equal(operators.Until) {
				t.Errorf("case %d, order %d: %+v is in force", i, j, got)
			}
		}
	}
	// One that is over yields to nothing.
	over := store.Entry{Kind: store.Allow, Prefix: testBan(2).Prefix, Since: in(-time.Minute), Until: in(time.Minute), Reason: "the office", By: "root"}
	l := openLedger(t, testConfig(srv.addr), c.now)
	if err := l.PutAll(ctx, []store.Entry{over}); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Minute)
	resolved := store.Entry{Kind: store.Allow, Prefix: over.Prefix, Since: in(-time.Second), Until: in(15 * time.Minute), Rule: "name home.example.org", By: "mx1"}
	if err := l.PutAll(ctx, []store.Entry{resolved}); err != nil {
		t.Fatal(err)
	}
	if got := watchTable(t, l).get(resolved); got.Rule != resolved.Rule {
		t.Errorf("%+v is in force", got)
	}
}

// TestServerClock runs by the server's clock, over a server that forgets the
// script and is restarted.
func TestServerClock(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	first := must[store.Entry](t)(l.Put(ctx, testBan(1)))
	if d := time.Since(first.Since).Abs(); d > time.Minute {
		t.Errorf("it began %v from now", d)
	}
	srv.do("SCRIPT", "FLUSH")
	must[store.Entry](t)(l.Put(ctx, testBan(2)))
	srv.do("CONFIG", "SET", "appendfsync", "always")
	must[store.Entry](t)(l.Put(ctx, testBan(3)))
	srv.kill()
	if _, err := l.Put(ctx, testBan(4)); err == nil || errors.Is(err, store.ErrInvalid) {
		t.Errorf("without Redis: %v", err)
	}
	srv.start()
	eventually(t, "the ban is still there", func() bool {
		got, err := l.Put(ctx, testBan(1))
		return err == nil && got == first
	})
	short := testBan(5)
	short.Ladder.First = 300 * time.Millisecond
	must[store.Entry](t)(l.Put(ctx, short))
	eventually(t, "it is swept", func() bool { return srv.do("HLEN", l.keys[0]).(int64) == 3 })
	for _, e := range []store.Entry{testBan(1), testBan(3)} {
		if !must[bool](t)(l.Remove(ctx, e)) {
			t.Error("not found")
		}
	}
	l.endLedger()
	if _, err := l.Put(ctx, testBan(1)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestTimesOutOfRange(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	e := testBan(1)
	e.Until = time.Date(300_000_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := l.Put(ctx, e); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	e.Until = time.Unix(0, 0)
	if _, err := l.Put(ctx, e); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
