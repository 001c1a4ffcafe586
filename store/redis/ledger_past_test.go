package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

// onlyObserved is a ban that no host enforces.
func onlyObserved(e store.Entry) store.Entry {
	e.Observed = true
	return e
}

// TestMergedHistory holds that of bans made elsewhere the observed ones make no
// enforced one longer.
func TestMergedHistory(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	// The next one's number, in a ledger that entries were merged into.
	next := func(prefix string, merged []store.Entry, e store.Entry) (inForce, times int) {
		c := newTestClock()
		cfg := testConfig(srv.addr)
		cfg.Prefix = prefix
		l := openLedger(t, cfg, c.now)
		for range 2 { // doing it again does no harm
			if err := l.PutAll(ctx, merged); err != nil {
				t.Fatal(err)
			}
		}
		inForce = watchTable(t, l).get(testBan(1)).Times
		c.advance(2 * time.Hour)
		return inForce, must[store.Entry](t)(l.Put(ctx, e)).Times
	}
	over := func(times int) store.Entry {
		e := testBan(1)
		e.Since, e.Until, e.Times = c.now().Add(-2*time.Hour), c.now().Add(-time.Hour), times
		return e
	}
	live := func(times int) store.Entry {
		e := over(times)
		e.Until = c.now().Add(time.Hour)
		return e
	}
	for i, x := range []struct {
		name               string
		merged             []store.Entry
		enforced, observed int // the next one's number
		inForce            int // the number of the one in force, 0: there is none
	}{
		{"enforced", []store.Entry{over(3)}, 4, 4, 0},
		{"observed", []store.Entry{onlyObserved(over(3))}, 1, 4, 0},
		{"observed after enforced", []store.Entry{over(2), onlyObserved(over(5))}, 3, 6, 0},
		{"fewer times, observed", []store.Entry{over(4), onlyObserved(over(1))}, 5, 6, 0},
		{"enforced after observed", []store.Entry{onlyObserved(over(5)), over(2)}, 3, 3, 0},
		{"the higher number", []store.Entry{over(4), over(2)}, 5, 5, 0},
		{"enforced over a live observed one", []store.Entry{onlyObserved(live(7)), live(2)}, 3, 3, 2},
		{"observed under a live enforced one", []store.Entry{live(2), onlyObserved(live(7))}, 3, 8, 2},
		{"observed on top of what was enforced", []store.Entry{over(4), onlyObserved(live(1))}, 5, 6, 5},
	} {
		inForce, times := next(fmt.Sprint("enforced", i), x.merged, testBan(1))
		if inForce != x.inForce || times != x.enforced {
			t.Errorf("%s: %d in force, then enforced %d", x.name, inForce, times)
		}
		if _, times = next(fmt.Sprint("observed", i), x.merged, onlyObserved(testBan(1))); times != x.observed {
			t.Errorf("%s: then observed %d", x.name, times)
		}
	}
}

// TestHistoriesAreForgottenApart holds that each part of a history is forgotten
// in its own time.
func TestHistoriesAreForgottenApart(t *testing.T) {
	srv, ctx, c := startServer(t), context.Background(), newTestClock()
	l := openLedger(t, testConfig(srv.addr), c.now)
	put := func(e store.Entry, forget time.Duration, want int) {
		t.Helper()
		e.Ladder.Forget = forget
		got := must[store.Entry](t)(l.Put(ctx, e))
		if got.Times != want {
			t.Errorf("got %+v, want %d", got, want)
		}
		c.advance(got.Until.Sub(c.now()))
	}
	put(testBan(1), 100*time.Hour, 1)
	if v := srv.do("HGET", l.keys[keyPast], entryName(new(testBan(1)))); v != "1" {
		t.Errorf("the history is %q", v)
	}
	put(onlyObserved(testBan(1)), 10*time.Hour, 2)
	c.advance(10 * time.Hour)
	put(onlyObserved(testBan(1)), 1000*time.Hour, 2) // the observed one is forgotten
	c.advance(100 * time.Hour)
	put(onlyObserved(testBan(1)), 10*time.Hour, 2) // and now the enforced one
	put(testBan(1), 10*time.Hour, 1)
	c.advance(10 * time.Hour)
	l.sweep(ctx)
	if n := srv.do("HLEN", l.keys[keyPast]).(int64); n != 0 {
		t.Errorf("%d histories are left", n)
	}
}
