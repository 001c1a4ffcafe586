package storetest

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// passed tells whether a reserve lets the attempt go on to verification. A
// familiar pair passes its client's refusal, within a budget of its own.
func passed(h *harness, s store.Standing) bool {
	switch {
	case s.Full:
		return false
	case s.Familiar:
		return s.Known == 1 || !h.rules.Refuses(score.Pair, s.Pair.Score)
	default:
		return !h.rules.Refuses(score.Client, s.Client.Score) &&
			(s.Known == 1 || !h.rules.Refuses(score.Account, s.Account.Score))
	}
}

// attack makes many attempts at the same time, asks again where the places were
// full, reports what passed as failed, and returns how many that were.
func attack(h *harness, workers, attempts int, who func(n int) (netip.Prefix, string, uint32)) int {
	h.Helper()
	var next, verified atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for n := next.Add(1); n <= int64(attempts); n = next.Add(1) {
				op := h.op(store.Reserve, netip.Prefix{}, "", none)
				c, a, p := who(int(n))
				guess, id := op.Guess, op.ID
				op = h.op(store.Reserve, c, a, p)
				op.Guess, op.ID = guess, id
				got := h.do(op)
				for tries := 0; got.Full && tries < 10_000; tries++ {
					got = h.do(op)
				}
				if !passed(h, got) {
					continue
				}
				verified.Add(1)
				op.Verb, op.Outcome = store.Record, score.Failure
				h.do(op)
			}
		})
	}
	all.Wait()
	return int(verified.Load())
}

var placeTests = map[string]func(*harness){
	"a place is taken and settled": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, password(1))
		got := h.do(op)
		same(h, "client in flight", got.Client.InFlight, score.Point)
		same(h, "account in flight", got.Account.InFlight, score.Point)
		same(h, "full", got.Full, false)
		same(h, "score", got.Client.Score, 0)
		op.Verb, op.Outcome = store.Record, score.Failure
		got = h.do(op)
		same(h, "client settled", got.Client.InFlight, 0)
		same(h, "account settled", got.Account.InFlight, 0)
		same(h, "client score", got.Client.Score, score.Point)
		same(h, "account score", got.Account.Score, score.Point)
	},
	"every outcome settles": func(h *harness) {
		for i, o := range []score.Outcome{score.Success, score.Refused, score.Trapped, score.Ignored, score.Crowded} {
			op := h.op(store.Reserve, client(i), account(i), password(1))
			h.do(op)
			op.Verb, op.Outcome = store.Record, o
			got := h.do(op)
			same(h, "client", got.Client.InFlight, 0)
			same(h, "account", got.Account.InFlight, 0)
		}
	},
	"both questions of an attempt share a place": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, password(1))
		h.do(op)
		op.ID++
		same(h, "in flight", h.do(op).Client.InFlight, score.Point)
	},
	"without a sure secret only the client gives a place": func(h *harness) {
		got := h.reserve(client(1), alice, none)
		same(h, "client", got.Client.InFlight, score.Point)
		same(h, "account", got.Account.InFlight, 0)
	},
	"an exempt account gives no place": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, password(1))
		op.AccountExempt = true
		got := h.do(op)
		same(h, "client", got.Client.InFlight, score.Point)
		same(h, "account", got.Account.InFlight, 0)
	},
	"full is told from refused": func(h *harness) {
		for i := range 10 {
			same(h, "full", h.reserve(client(1), alice, password(i)).Full, false)
		}
		got := h.reserve(client(1), alice, password(99))
		same(h, "full at last", got.Full, true)
		same(h, "in flight", got.Client.InFlight, 10*score.Point)
		for i := range 10 {
			h.record(score.Failure, client(2), alice, password(i))
		}
		got = h.reserve(client(2), bob, password(99))
		same(h, "over the score", got.Full, false)
		same(h, "no place", got.Client.InFlight, 0)
	},
	"where the account has no room the client keeps its place": func(h *harness) {
		r := *h.rules
		r.Account.Refuse = 2 * score.Point
		h.rules = &r
		h.reserve(client(1), alice, password(1))
		h.reserve(client(2), alice, password(2))
		op := h.op(store.Reserve, client(3), alice, password(3))
		got := h.do(op)
		same(h, "full", got.Full, true)
		same(h, "crowded", got.Crowded, true)
		same(h, "client", got.Client.InFlight, score.Point)
		same(h, "client later", h.look(client(3), alice, none).Client.InFlight, score.Point)
		same(h, "account", got.Account.InFlight, 2*score.Point)
		op.Verb, op.Outcome = store.Record, score.Refused
		got = h.do(op)
		same(h, "settled", got.Client.InFlight, 0)
		same(h, "score", got.Client.Score, score.Point)
		same(h, "account settled", got.Account.InFlight, 2*score.Point)
	},
	"where the account's score refuses the client keeps its place": func(h *harness) {
		for i := range 30 {
			h.record(score.Failure, client(10+i), alice, password(i))
		}
		for i := range 2 {
			got := h.reserve(client(1), alice, password(100+i))
			same(h, "full", got.Full, false)
			same(h, "crowded", got.Crowded, false)
			same(h, "client", got.Client.InFlight, score.Milli(1+i)*score.Point)
		}
	},
	"the latest right secret is told that the account is crowded": func(h *harness) {
		r := *h.rules
		r.Account.Refuse = 2 * score.Point
		h.rules = &r
		h.befriend(client(9), alice, password(9))
		same(h, "crowded", h.reserve(client(1), alice, password(9)).Crowded, false)
		h.reserve(client(1), alice, password(1))
		h.reserve(client(2), alice, password(2))
		got := h.reserve(client(3), alice, password(9))
		same(h, "known", got.Known, 1)
		same(h, "full", got.Full, false)
		same(h, "crowded", got.Crowded, true)
		same(h, "client", got.Client.InFlight, 0)
		same(h, "an exempt account", h.do(func() store.Op {
			op := h.op(store.Reserve, client(3), alice, password(9))
			op.AccountExempt = true
			return op
		}()).Crowded, false)
	},
	"a failure that nothing tells from others is recorded once": func(h *harness) {
		ask := func() store.Standing {
			op := h.op(store.Reserve, client(1), alice, none)
			op.Guess = 0
			return h.do(op)
		}
		ask()
		same(h, "in flight", ask().Client.InFlight, 2*score.Point)
		failed := h.op(store.Record, client(1), alice, none)
		failed.Guess, failed.Outcome = 0, score.Failure
		for range 2 { // the first answer was lost
			got := h.do(failed)
			same(h, "the other's place", got.Client.InFlight, score.Point)
			same(h, "score", got.Client.Score, score.Point)
		}
	},
	"where the client has no room the account gives no place": func(h *harness) {
		r := *h.rules
		r.Client.Refuse = 1 * score.Point
		h.rules = &r
		h.reserve(client(1), alice, password(1))
		got := h.reserve(client(1), alice, password(2))
		same(h, "full", got.Full, true)
		same(h, "crowded", got.Crowded, false)
		same(h, "client", got.Client.InFlight, score.Point)
		same(h, "account", got.Account.InFlight, score.Point)
		same(h, "account later", h.look(client(1), alice, none).Account.InFlight, score.Point)
	},
	"where the network's score refuses no place is taken": func(h *harness) {
		r := *h.rules
		r.Network.Refuse = 2 * score.Point
		h.rules = &r
		h.record(score.Failure, neighbour(1), bob, password(1))
		h.record(score.Failure, neighbour(2), bob, password(2))
		got := h.reserve(neighbour(3), alice, password(3))
		same(h, "full", got.Full, false)
		same(h, "client", got.Client.InFlight, 0)
		same(h, "account", got.Account.InFlight, 0)
		same(h, "account later", h.look(neighbour(3), alice, none).Account.InFlight, 0)
	},
	"a refused attempt that cannot be told from others frees no place": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, none)
		op.Guess = 0
		same(h, "reserved", h.do(op).Client.InFlight, score.Point)
		for _, o := range []score.Outcome{score.Refused, score.Crowded} {
			refused := h.op(store.Record, client(1), alice, none)
			refused.Guess, refused.Outcome = 0, o
			same(h, "in flight", h.do(refused).Client.InFlight, score.Point)
		}
		same(h, "score", h.look(client(1), alice, none).Client.Score, score.Point)
		op.Verb, op.Outcome = store.Record, score.Failure
		same(h, "settled", h.do(op).Client.InFlight, 0)
	},
	"a place lapses as a failure": func(h *harness) {
		h.reserve(client(1), alice, password(1))
		h.Advance(9 * time.Second)
		same(h, "in flight", h.look(client(1), alice, none).Client.InFlight, score.Point)
		h.Advance(2 * time.Second)
		got := h.look(client(1), alice, none)
		same(h, "lapsed", got.Client.InFlight, 0)
		near(h, "client", got.Client.Score, score.Point)
		near(h, "account", got.Account.Score, score.Point)
	},
	"a clock set back by a day leaves the budget intact": func(h *harness) {
		if h.OnlyForward {
			h.Skip("the clock cannot be set back")
		}
		for i := range 4 {
			h.record(score.Failure, client(1), account(i), password(i))
		}
		h.reserve(client(2), account(9), password(9))
		h.Advance(-aDay)
		same(h, "score", h.look(client(1), alice, none).Client.Score, 4*score.Point)
		same(h, "in flight", h.look(client(2), alice, none).Client.InFlight, score.Point)
		n := attack(h, 8, 100, func(n int) (netip.Prefix, string, uint32) {
			return client(1), account(10 + n), password(10 + n)
		})
		same(h, "verified", n, 6)
		same(h, "score at last", h.look(client(1), alice, none).Client.Score, 10*score.Point)
		h.Advance(11 * time.Second)
		got := h.look(client(2), alice, none).Client
		same(h, "lapsed", got.InFlight, 0)
		near(h, "as a failure", got.Score, score.Point)
		h.Advance(time.Hour - 11*time.Second)
		near(h, "decayed", h.look(client(1), alice, none).Client.Score, 5*score.Point)
	},
	"a place lapses without a trace if it shall": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, password(1))
		op.LapseCounts = false
		h.do(op)
		h.Advance(11 * time.Second)
		same(h, "client", h.look(client(1), alice, none).Client, score.Reading{})
	},
	"a look takes no place": func(h *harness) {
		same(h, "in flight", h.look(client(1), alice, password(1)).Client.InFlight, 0)
		same(h, "still", h.look(client(1), alice, password(1)).Client.InFlight, 0)
	},
	"the budget of a client is exact": func(h *harness) {
		n := attack(h, 64, 400, func(n int) (netip.Prefix, string, uint32) {
			return client(1), account(n), password(n)
		})
		same(h, "verified", n, 10)
		same(h, "score", h.look(client(1), alice, none).Client.Score, 10*score.Point)
	},
	"the budget of an account is exact": func(h *harness) {
		n := attack(h, 64, 400, func(n int) (netip.Prefix, string, uint32) {
			return client(n), alice, password(n)
		})
		same(h, "verified", n, 30)
		same(h, "score", h.look(client(1), alice, none).Account.Score, 30*score.Point)
	},
	"the budget of a familiar pair is exact": func(h *harness) {
		h.befriend(neighbour(1), alice, password(0))
		n := attack(h, 64, 200, func(n int) (netip.Prefix, string, uint32) {
			return neighbour(1 + n%2), alice, password(n)
		})
		same(h, "verified", n, 15)
	},
}
