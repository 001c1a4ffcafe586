package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

const aDay = 24 * time.Hour

var familiarTests = map[string]func(*harness){
	"a login makes the pair familiar": func(h *harness) {
		same(h, "before", h.look(neighbour(1), alice, none).Familiar, false)
		h.befriend(neighbour(1), alice, password(1))
		same(h, "from the same network", h.look(neighbour(2), alice, none).Familiar, true)
		same(h, "from elsewhere", h.look(client(1), alice, none).Familiar, false)
		same(h, "another account", h.look(neighbour(1), bob, none).Familiar, false)
		h.Advance(31 * aDay)
		same(h, "after a month", h.look(neighbour(1), alice, none).Familiar, false)
	},
	"a further login keeps it familiar": func(h *harness) {
		h.befriend(neighbour(1), alice, password(1))
		h.Advance(20 * aDay)
		h.record(score.Success, neighbour(1), alice, password(1))
		same(h, "later", func() bool {
			time.Sleep(300 * time.Millisecond) // nothing tells when it is kept
			h.Advance(20 * aDay)
			return h.look(neighbour(1), alice, none).Familiar
		}(), true)
	},
	"a friend stays one although its client is over the tarpit score": func(h *harness) {
		h.befriend(client(1), alice, password(1))
		h.Advance(20 * aDay)
		for i := range 5 {
			h.record(score.Failure, client(1), bob, password(i))
		}
		h.record(score.Success, client(1), alice, password(1))
		time.Sleep(300 * time.Millisecond) // nothing tells when it is kept
		h.Advance(20 * aDay)
		same(h, "familiar", h.look(client(1), alice, none).Familiar, true)
	},
	"a client over its tarpit score makes no friends": func(h *harness) {
		for i := range 3 {
			h.record(score.Failure, client(1), alice, password(i))
		}
		h.record(score.Success, client(1), alice, password(9)) // forgiven only now
		h.teach(client(1), alice, password(8))
		same(h, "forgiven", h.look(client(1), alice, none).Client.Score, 0)
		h.befriend(client(1), alice, password(8))
		for i := range 3 {
			h.record(score.Failure, client(2), bob, password(i))
		}
		h.teach(client(2), alice, password(7))
		same(h, "familiar", h.look(client(2), alice, none).Familiar, false)
	},
	"a familiar pair counts instead of account and network": func(h *harness) {
		h.befriend(client(1), alice, password(0))
		got := h.record(score.Failure, client(1), alice, password(1))
		same(h, "client", got.Client.Added, score.Point)
		same(h, "pair", got.Pair.Added, score.Point)
		same(h, "pair's score", got.Pair.Score, score.Point)
		same(h, "network", got.Network.Score, 0)
		same(h, "account", got.Account.Score, 0)
		got = h.record(score.Success, client(1), alice, password(0))
		same(h, "forgiven", got.Pair.Score, 0)
		same(h, "client forgiven", got.Client.Score, 0)
	},
	"a familiar pair takes its place on the pair": func(h *harness) {
		h.befriend(client(1), alice, password(0))
		op := h.op(store.Reserve, client(1), alice, password(1))
		got := h.do(op)
		same(h, "pair", got.Pair.InFlight, score.Point)
		same(h, "client", got.Client.InFlight, 0)
		same(h, "account", got.Account.InFlight, 0)
		h.Advance(11 * time.Second)
		same(h, "lapsed for nothing", h.look(client(1), alice, none).Pair.Score, 0)
		h.do(op)
		op.Verb, op.Outcome = store.Record, score.Failure
		same(h, "settled", h.do(op).Pair.InFlight, 0)
	},
	"a familiar pair has room where its client has none": func(h *harness) {
		h.befriend(client(1), alice, password(0))
		for i := range 12 {
			h.record(score.Failure, client(1), bob, password(i))
		}
		got := h.reserve(client(1), alice, password(1))
		same(h, "full", got.Full, false)
		same(h, "pair", got.Pair.InFlight, score.Point)
		got = h.reserve(client(1), bob, password(99))
		same(h, "the other", got.Client.InFlight, 0)
	},
	"a refused familiar pair counts nowhere": func(h *harness) {
		h.befriend(client(1), alice, password(0))
		got := h.record(score.Refused, client(1), alice, password(1))
		same(h, "client", got.Client.Score, 0)
		same(h, "pair", got.Pair.Score, 0)
	},
	"a place taken before the pair was familiar is settled": func(h *harness) {
		op := h.op(store.Reserve, client(1), alice, password(1))
		h.do(op)
		h.befriend(client(1), alice, password(0))
		op.Verb, op.Outcome = store.Record, score.Failure
		got := h.do(op)
		same(h, "client", got.Client.InFlight, 0)
		same(h, "account", got.Account.InFlight, 0)
	},
	"an office has several familiar accounts": func(h *harness) {
		for i := range 4 {
			h.befriend(neighbour(i+1), account(i), password(0))
		}
		same(h, "accounts", h.look(neighbour(200), bob, none).FamiliarAccounts, 4)
		h.befriend(neighbour(9), account(0), password(0))
		same(h, "each once", h.look(neighbour(200), bob, none).FamiliarAccounts, 4)
		same(h, "elsewhere", h.look(client(1), bob, none).FamiliarAccounts, 0)
		h.Advance(31 * aDay)
		h.eventually("none of them is left", func() bool {
			return h.look(neighbour(200), bob, none).FamiliarAccounts == 0
		})
	},
	"an account is familiar to its latest networks": func(h *harness) {
		const most, more = 64, 6
		h.befriend(client(0), bob, password(0))
		for i := range most + more {
			h.befriend(client(i), alice, password(0))
			h.Advance(time.Minute)
		}
		h.eventually("its first networks are forgotten", func() bool {
			n := 0
			for i := range most + more {
				got := h.look(client(i), alice, none)
				if got.Familiar != (i >= more) {
					return false
				}
				n += got.FamiliarAccounts
			}
			return n == most+1 // and the other account's
		})
		got := h.look(client(0), bob, none)
		same(h, "the other is familiar", got.Familiar, true)
		same(h, "to its network", got.FamiliarAccounts, 1)
		n, err := h.Store.ForgetAccount(context.Background(), alice)
		if err != nil {
			h.Fatal(err)
		}
		same(h, "pairs", n, most)
		same(h, "left", h.look(client(more), alice, none).FamiliarAccounts, 0)
	},
	"the last three right passwords are known": func(h *harness) {
		for i := range 4 {
			h.teach(client(1), alice, password(i))
			h.Advance(time.Minute)
		}
		for i, want := range []int{0, 3, 2, 1} {
			same(h, fmt.Sprint("password ", i), h.look(client(2), alice, password(i)).Known, want)
		}
		h.teach(client(1), alice, password(1))
		for i, want := range []int{0, 1, 3, 2} {
			same(h, fmt.Sprint("after a return, password ", i), h.look(client(2), alice, password(i)).Known, want)
		}
		same(h, "another account", h.look(client(2), bob, password(3)).Known, 0)
		unsure := h.op(store.Look, client(2), alice, password(1))
		unsure.Secret = score.Unsure
		same(h, "unsure", h.do(unsure).Known, 0)
		h.Advance(92 * aDay)
		same(h, "after its time", h.look(client(2), alice, password(1)).Known, 0)
	},
	"right passwords can be switched off": func(h *harness) {
		r := *h.rules
		r.Remember = 0
		h.rules = &r
		h.record(score.Success, client(1), alice, password(1))
		h.eventually("familiar", func() bool { return h.look(client(1), alice, none).Familiar })
		same(h, "known", h.look(client(1), alice, password(1)).Known, 0)
	},
	"a known password counts nowhere and takes no place": func(h *harness) {
		h.teach(client(1), alice, password(1))
		h.Advance(time.Minute)
		h.teach(client(1), alice, password(2))
		got := h.record(score.Failure, client(2), alice, password(1))
		same(h, "client", got.Client.Added, 0)
		same(h, "network", got.Network.Added, 0)
		same(h, "account", got.Account.Added, 0)
		got = h.reserve(client(2), alice, password(1))
		same(h, "known", got.Known, 2)
		same(h, "in flight", got.Client.InFlight+got.Account.InFlight, 0)
	},
	"the latest right password passes an account under attack": func(h *harness) {
		h.teach(client(1), alice, password(1))
		for i := range 40 {
			h.record(score.Failure, client(100+i), alice, password(50+i))
		}
		got := h.reserve(client(2), alice, password(1))
		same(h, "known", got.Known, 1)
		same(h, "full", got.Full, false)
		same(h, "account in flight", got.Account.InFlight, 0)
	},
	"an account can be forgotten": func(h *harness) {
		h.befriend(client(1), alice, password(1))
		h.befriend(client(2), alice, password(1))
		h.befriend(client(2), bob, password(1))
		h.record(score.Failure, client(3), alice, password(2))
		n, err := h.Store.ForgetAccount(context.Background(), alice)
		if err != nil {
			h.Fatal(err)
		}
		same(h, "pairs", n, 2)
		got := h.look(client(1), alice, password(1))
		same(h, "familiar", got.Familiar, false)
		same(h, "known", got.Known, 0)
		same(h, "score", got.Account.Score, 0)
		got = h.look(client(2), bob, password(1))
		same(h, "the other is familiar", got.Familiar, true)
		same(h, "of the office", got.FamiliarAccounts, 1)
	},
}
