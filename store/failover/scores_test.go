package failover_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
)

// patience is what a call may take. One that waited for a store that hangs would
// never return; the rest is for a busy machine.
const patience = deadline + 3*time.Second

func TestRemoteDecides(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	a.attempt(store.Record, score.Failure, client(1), 1)
	got, _ := b.attempt(store.Record, score.Failure, client(1), 2)
	if got.Client.Score != 2*score.Point {
		t.Errorf("two failures on two hosts are %d", got.Client.Score)
	}
}

// An owner who logs in where he always does, with his password, waits for nobody, and
// needs nobody. With another password, elsewhere, or once he is forgotten he does.
func TestOwnersAtHomeAskNobody(t *testing.T) {
	w := newWorld(t)
	h, other := w.host("a.db", well), w.host("b.db", well)
	asked := func(by *host, c netip.Prefix, token uint32) int64 {
		before := by.remote.calls.Load()
		by.attempt(store.Reserve, score.Unknown, c, token)
		return by.remote.calls.Load() - before
	}
	h.attempt(store.Record, score.Success, client(1), 7)
	w.eventually("he is known here", func() bool { return asked(h, client(1), 7) == 0 })
	for what, n := range map[string]int64{
		"another password": asked(h, client(1), 8), "another network": asked(h, client(300), 7), "another host": asked(other, client(1), 7),
	} {
		if n != 1 {
			t.Errorf("%s made %d calls", what, n)
		}
	}
	before := h.remote.calls.Load()
	h.attempt(store.Record, score.Success, client(1), 7)
	if n := h.remote.calls.Load() - before; n != 1 {
		t.Errorf("the report made %d calls", n)
	}
	if _, err := h.ForgetAccount(t.Context(), "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	if n := asked(h, client(1), 7); n != 1 {
		t.Errorf("once forgotten he made %d calls", n)
	}
}

// A remote store that comes and goes does not give a new budget each time: it lacks the
// guesses that were let through without it, and this host does not.
func TestWhatTheRemoteMissedIsNotGivenAgain(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	h.remote.be(failing)
	let := 0
	for i := range 64 {
		if got, _ := h.attempt(store.Reserve, score.Unknown, client(1), uint32(i)); !got.Full {
			let++
		}
	}
	if let == 0 || let == 64 {
		t.Fatalf("without it %d were let through", let)
	}
	h.remote.be(well)
	h.joined(true)
	if got, _ := h.attempt(store.Reserve, score.Unknown, client(1), 100); !got.Full {
		t.Error("one more is let through once it is back")
	}
	if got, _ := h.attempt(store.Reserve, score.Unknown, client(300), 100); got.Full {
		t.Error("others are refused")
	}
}

// Whatever Redis does, a call takes its deadline at most, soon none waits at
// all, and once it is back every attempt has counted exactly once, with its own
// time.
func TestOutages(t *testing.T) {
	for name, m := range map[string]mood{"failing": failing, "hanging": hanging, "losing": losing, "slow": slow} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.host("local.db", well)
			h.attempt(store.Record, score.Failure, client(1), 100)
			h.remote.be(m)
			for i := range 4 {
				if _, took := h.attempt(store.Record, score.Failure, client(1), uint32(i)); took > patience {
					t.Errorf("call %d took %v", i, took)
				}
			}
			h.joined(false)
			calls := h.remote.calls.Load()
			var got store.Standing
			for i := range 4 {
				var took time.Duration
				if got, took = h.attempt(store.Record, score.Failure, client(1), uint32(10+i)); took > patience {
					t.Errorf("call %d took %v with an open breaker", i, took)
				}
			}
			if probes := h.remote.calls.Load() - calls; probes > 2 {
				t.Errorf("%d calls although the breaker is open", probes)
			}
			if got.Client.Score != 9*score.Point {
				t.Errorf("locally %d", got.Client.Score)
			}
			if h.metric("saslguard_store_remote_up") != 0 || h.metric("saslguard_store_journal_length") < 4 {
				t.Error("the metrics do not tell")
			}
			w.clock.advance(time.Hour)
			h.remote.be(well)
			h.joined(true)
			// A failure 1 h ago is half a point.
			if n := w.points(client(1)); n < 4400 || n > 4500 {
				t.Errorf("%d afterwards, want 4500", n)
			}
			if h.metric("saslguard_store_remote_up") != 1 || h.metric("saslguard_store_journal_length") != 0 {
				t.Error("the metrics do not tell")
			}
			if a, b := h.logged("cannot be used"), h.logged("is back"); a != 1 || b != 1 {
				t.Errorf("logged %d times that it went, %d that it came", a, b)
			}
		})
	}
}

// Many callers at once are not slower than one, and nothing races.
func TestManyCallersInAnOutage(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	var all sync.WaitGroup
	for c := range 16 {
		all.Go(func() {
			for i := range 60 {
				if c == 0 {
					h.remote.be([]mood{well, hanging, failing}[i/20])
				}
				if _, took := h.attempt(store.Record, score.Failure, client(c), uint32(i%8)); took > patience {
					t.Errorf("took %v", took)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	h.remote.be(well)
	h.joined(true)
	w.eventually("all is handed over", func() bool { return h.metric("saslguard_store_journal_length") == 0 })
	for c := range 16 {
		if n := w.points(client(c)); n != 8*int(score.Point) {
			t.Errorf("client %d: %d", c, n)
		}
	}
}

func TestOneFailureDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	h.remote.mood.Store(int32(failing))
	h.attempt(store.Record, score.Failure, client(1), 1)
	h.remote.be(well)
	w.eventually("the attempt is handed over", func() bool { return w.points(client(1)) == int(score.Point) })
	if h.logs.FilterLevelExact(1).Len() != 0 {
		t.Errorf("logged %v", h.logs.All())
	}
}

func TestCallersWhoGiveUpOpenNothing(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	h.remote.mood.Store(int32(hanging))
	for i := range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
		_ = h.Do(ctx, []store.Op{w.op(store.Look, 0, client(i), 0)}, make([]store.Standing, 1))
		cancel()
	}
	if ok, _ := h.Health(); !ok {
		t.Error("the breaker has opened")
	}
	h.remote.be(well)
}

func TestStartWithoutRemote(t *testing.T) {
	w := newWorld(t)
	h := w.host("local.db", hanging)
	got, took := h.attempt(store.Record, score.Failure, client(1), 1)
	if got.Client.Score != score.Point || took > patience {
		t.Errorf("%d points in %v", got.Client.Score, took)
	}
	h.put(ban(client(2)))
	if ok, detail := h.Health(); ok || detail == "" {
		t.Errorf("healthy: %s", detail)
	}
	h.remote.be(well)
	h.joined(true)
	if n := w.points(client(1)); n != int(score.Point) {
		t.Errorf("%d points", n)
	}
	if len(entriesOf(w.shared)) != 1 {
		t.Error("the ban did not arrive")
	}
}

func TestJournalOverflow(t *testing.T) {
	w := newWorld(t)
	h := w.host("", failing, func(o *failover.Options) { o.Journal = 1000 })
	for i := range 3000 {
		h.attempt(store.Record, score.Failure, client(i), 1)
	}
	if n := h.metric("saslguard_store_journal_length"); n != 1000 {
		t.Errorf("%v are kept", n)
	}
	if n := h.metric("saslguard_store_journal_dropped_total"); n != 2000 {
		t.Errorf("%v were dropped", n)
	}
	if n := h.logged("the oldest are dropped"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	h.remote.be(well)
	h.joined(true)
	if a, b := w.points(client(1999)), w.points(client(2000)); a != 0 || b != int(score.Point) {
		t.Errorf("the oldest has %d, the first kept %d", a, b)
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	h.attempt(store.Record, score.Failure, client(1), 1)
	if err := h.ForgetClient(context.Background(), client(1)); err != nil || w.points(client(1)) != 0 {
		t.Errorf("error %v, %d points", err, w.points(client(1)))
	}
	h.remote.be(hanging)
	h.attempt(store.Record, score.Failure, client(1), 2)
	h.attempt(store.Record, score.Failure, client(2), 2)
	if err := h.ForgetClient(context.Background(), client(1)); !errors.Is(err, failover.ErrLater) {
		t.Errorf("error %v", err)
	}
	if _, err := h.ForgetAccount(context.Background(), "bob@example.org"); !errors.Is(err, failover.ErrLater) {
		t.Errorf("error %v", err)
	}
	h.attempt(store.Record, score.Failure, client(1), 3)
	h.attempt(store.Record, score.Failure, client(1), 4)
	h.remote.be(well)
	h.joined(true)
	w.eventually("the attempts after the forgetting count", func() bool {
		return w.points(client(1)) == 2*int(score.Point) && w.points(client(2)) == int(score.Point)
	})
}

func TestPlacesAreSettledOnBoth(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	out := make([]store.Standing, 1)
	op := w.op(store.Reserve, score.Unknown, client(1), 1)
	op.Guess, op.LapseCounts = 7, true
	do := func() {
		if err := h.Do(context.Background(), []store.Op{op}, out); err != nil {
			t.Error(err)
		}
	}
	do()
	op.Verb, op.Outcome = store.Record, score.Success
	do()
	w.clock.advance(time.Minute)
	op.Verb = store.Look
	for name, s := range map[string]store.Scores{"local": h.local, "shared": w.shared} {
		if err := s.Do(context.Background(), []store.Op{op}, out); err != nil || out[0].Client.Score != 0 || out[0].Client.InFlight != 0 {
			t.Errorf("%s: %+v, error %v", name, out[0].Client, err)
		}
	}
}

// Close is bounded whatever Redis does, and hands over what it can.
func TestClose(t *testing.T) {
	for name, m := range map[string]mood{"well": well, "hanging": hanging} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.host("", well)
			h.remote.mood.Store(int32(hanging))
			h.attempt(store.Record, score.Failure, client(1), 1)
			h.remote.mood.Store(int32(m))
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			began := time.Now()
			_ = h.Close(ctx)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if m == well && w.points(client(1)) == 0 {
				t.Error("the attempt is lost")
			}
			if m == hanging && h.logged("could not be handed over") != 1 {
				t.Error("the loss was not told")
			}
		})
	}
}

// A host that must decide alone goes on from what the shared store has told it last, and
// does not begin anew: what others have counted, and what they had in flight.
func TestAloneAHostGoesOnFromWhatWasShared(t *testing.T) {
	let := func(h *host, c netip.Prefix, from int) (n int) {
		for i := range 64 {
			if got, _ := h.attempt(store.Reserve, score.Unknown, c, uint32(from+i)); !got.Full && !rules().Refuses(score.Client, got.Client.Score) {
				n++
			}
		}
		return n
	}
	t.Run("what failed elsewhere", func(t *testing.T) {
		w := newWorld(t)
		a, b := w.host("", well), w.host("", well)
		for i := range 7 {
			a.attempt(store.Record, score.Failure, client(1), uint32(i))
		}
		b.attempt(store.Look, score.Unknown, client(1), 100)
		b.remote.be(failing)
		if n := let(b, client(1), 200); n != 3 {
			t.Errorf("%d of a budget of 10 are let through after 7 failures elsewhere", n)
		}
	})
	t.Run("what is in flight elsewhere", func(t *testing.T) {
		w := newWorld(t)
		a, b := w.host("", well), w.host("", well)
		for i := range 7 {
			a.attempt(store.Reserve, score.Unknown, client(1), uint32(i))
		}
		b.attempt(store.Reserve, score.Unknown, client(1), 100)
		b.remote.be(failing)
		if n := let(b, client(1), 200); n != 2 {
			t.Errorf("%d of a budget of 10 are let through beside 8 in flight", n)
		}
		w.clock.advance(11 * time.Second) // they lapse, here those of this host only
		if got, _ := b.attempt(store.Look, score.Unknown, client(1), 300); got.Client.InFlight != 0 || got.Client.Elsewhere != 0 {
			t.Errorf("still in flight: %+v", got.Client)
		}
	})
	t.Run("what was forgiven elsewhere", func(t *testing.T) {
		w := newWorld(t)
		a, b := w.host("", well), w.host("", well)
		for i := range 8 {
			b.attempt(store.Record, score.Failure, client(1), uint32(i))
		}
		if err := a.ForgetClient(t.Context(), client(1)); err != nil {
			t.Fatal(err)
		}
		b.attempt(store.Look, score.Unknown, client(1), 100)
		b.remote.be(failing)
		if got, _ := b.attempt(store.Look, score.Unknown, client(1), 200); got.Client.Score != 0 {
			t.Errorf("%d points of a client that was forgotten on another host", got.Client.Score)
		}
	})
}
