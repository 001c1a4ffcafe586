package storetest

import (
	"context"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

const alice, bob = "alice@example.org", "bob@example.org"

var scoreTests = map[string]func(*harness){
	"a failure counts on client, network and account": func(h *harness) {
		got := h.record(score.Failure, client(1), alice, password(1))
		for name, r := range map[string]score.Reading{"client": got.Client, "network": got.Network, "account": got.Account} {
			same(h, name+" added", r.Added, score.Point)
			same(h, name+" score", r.Score, score.Point)
			same(h, name+" distinct", r.Distinct, 1)
		}
		same(h, "pair", got.Pair, score.Reading{})
		same(h, "at", got.At.UnixMilli(), h.Now().UnixMilli())
		got = h.look(client(1), alice, none)
		same(h, "read again", got.Client.Score, score.Point)
		same(h, "a look adds nothing", got.Client.Added, 0)
		same(h, "another client", h.look(client(2), bob, none).Client, score.Reading{})
	},
	"operations of one call are answered in order": func(h *harness) {
		ops := []store.Op{
			h.op(store.Record, client(1), alice, password(1)),
			h.op(store.Look, client(2), bob, none),
			h.op(store.Record, client(1), bob, password(2)),
		}
		ops[0].Outcome, ops[2].Outcome = score.Failure, score.Failure
		out := make([]store.Standing, len(ops))
		out[1].Full = true // what was there before is overwritten
		if err := h.Store.Do(context.Background(), ops, out); err != nil {
			h.Fatal(err)
		}
		same(h, "first", out[0].Client.Score, score.Point)
		same(h, "second", out[1].Client.Score, 0)
		same(h, "second full", out[1].Full, false)
		same(h, "third", out[2].Client.Score, 2*score.Point)
		same(h, "third distinct", out[2].Client.Distinct, 2)
	},
	"scores halve every half-life": func(h *harness) {
		for i := range 8 {
			h.record(score.Failure, client(1), alice, password(i))
		}
		h.Advance(time.Hour)
		near(h, "after one", h.look(client(1), alice, none).Client.Score, 4*score.Point)
		for range 50 { // looking moves no clock
			h.Advance(time.Minute * 6 / 5)
			h.look(client(1), alice, none)
		}
		near(h, "after two", h.look(client(1), alice, none).Client.Score, 2*score.Point)
		h.Advance(40 * time.Hour)
		same(h, "at last", h.look(client(1), alice, none).Client, score.Reading{})
	},
	"the same guess counts once": func(h *harness) {
		for range 5 {
			h.record(score.Failure, client(1), alice, password(1))
		}
		same(h, "score", h.look(client(1), alice, none).Client.Score, score.Point)
		same(h, "from elsewhere", h.record(score.Failure, client(2), alice, password(1)).Client.Added, score.Point)
	},
	"a record sent twice counts once": func(h *harness) {
		for _, secret := range []score.Secret{score.None, score.Sure, score.Unsure, score.Rotates} {
			op := h.op(store.Record, client(int(secret)), account(int(secret)), password(1))
			op.Secret, op.Outcome = secret, score.Failure
			same(h, "first", h.do(op).Client.Added, score.Point)
			got := h.do(op)
			same(h, "again on client", got.Client.Added, 0)
			same(h, "again on network", got.Network.Added, 0)
			same(h, "again on account", got.Account.Added, 0)
		}
	},
	"without a secret every attempt is new": func(h *harness) {
		h.record(score.Failure, client(1), alice, none)
		same(h, "second", h.record(score.Failure, client(1), alice, none).Client.Score, 2*score.Point)
	},
	"a record stands for several attempts": func(h *harness) {
		op := h.op(store.Record, client(1), alice, none)
		op.Outcome, op.Count = score.Failure, 7
		same(h, "added", h.do(op).Client.Added, 7*score.Point)
		same(h, "again", h.do(op).Client.Added, 0)
	},
	"a score stops at twice the ban": func(h *harness) {
		for i := range 60 {
			h.record(score.Failure, client(1), alice, password(i))
		}
		same(h, "score", h.look(client(1), alice, none).Client.Score, 40*score.Point)
	},
	"a trap leads to the ban": func(h *harness) {
		got := h.record(score.Trapped, client(1), alice, password(1))
		same(h, "client", got.Client.Score, h.rules.Client.Ban)
		same(h, "account", got.Account.Score, 0)
	},
	"a refused attempt counts on the client only": func(h *harness) {
		got := h.record(score.Refused, client(1), alice, password(1))
		same(h, "client", got.Client.Added, score.Point)
		same(h, "network", got.Network.Added, 0)
		same(h, "account", got.Account.Added, 0)
		same(h, "again", h.record(score.Refused, client(1), alice, password(1)).Client.Added, 0)
	},
	"an ignored attempt counts nowhere": func(h *harness) {
		got := h.record(score.Ignored, client(1), alice, password(1))
		same(h, "client", got.Client, score.Reading{})
		same(h, "account", got.Account, score.Reading{})
	},
	"an unknown account costs more": func(h *harness) {
		r := *h.rules
		r.UnknownAccount, r.FurtherAccount = 2*score.Point, score.Point
		h.rules = &r
		same(h, "first", h.record(score.UnknownAccount, client(1), alice, password(1)).Client.Added, 3*score.Point)
		same(h, "further", h.record(score.UnknownAccount, client(1), bob, password(1)).Client.Added, 4*score.Point)
	},
	"a success forgives what is owed on the account": func(h *harness) {
		for i := range 2 {
			h.record(score.Failure, client(1), alice, password(i))
			h.record(score.Failure, client(1), bob, password(i))
		}
		got := h.record(score.Success, client(1), alice, password(9))
		same(h, "client", got.Client.Score, 2*score.Point)
		same(h, "account", got.Account.Score, 0)
		same(h, "network", got.Network.Score, 4*score.Point)
		same(h, "the other account", h.look(client(1), bob, none).Account.Score, 2*score.Point)
	},
	"a success forgives nobody else's debt": func(h *harness) {
		h.record(score.Failure, client(1), alice, password(1))
		h.record(score.Failure, client(2), alice, password(2))
		got := h.record(score.Success, client(1), alice, password(9))
		same(h, "client", got.Client.Score, 0)
		same(h, "account", got.Account.Score, score.Point)
		same(h, "other client", h.look(client(2), alice, none).Client.Score, score.Point)
	},
	"late operations have decayed and turn no clock back": func(h *harness) {
		h.record(score.Failure, client(1), alice, password(1))
		op := h.op(store.Record, client(1), alice, password(2))
		op.Outcome, op.At = score.Failure, h.Now().Add(-time.Hour)
		got := h.do(op)
		same(h, "at", got.At.UnixMilli(), op.At.UnixMilli())
		near(h, "added", got.Client.Added, score.Point/2)
		near(h, "score", h.look(client(1), alice, none).Client.Score, 3*score.Point/2)
	},
	"future operations happen now": func(h *harness) {
		op := h.op(store.Record, client(1), alice, password(1))
		op.Outcome, op.At = score.Failure, h.Now().Add(time.Hour)
		got := h.do(op)
		same(h, "at", got.At.UnixMilli(), h.Now().UnixMilli())
		same(h, "score", h.look(client(1), alice, none).Client.Score, score.Point)
	},
	"an exempt account does not count": func(h *harness) {
		op := h.op(store.Record, client(1), alice, password(1))
		op.Outcome, op.AccountExempt = score.Failure, true
		got := h.do(op)
		same(h, "client", got.Client.Added, score.Point)
		same(h, "account", got.Account, score.Reading{})
	},
	"without a client only the account counts": func(h *harness) {
		got := h.record(score.Failure, netip.Prefix{}, alice, password(1))
		same(h, "client", got.Client, score.Reading{})
		same(h, "network", got.Network, score.Reading{})
		same(h, "account", got.Account.Added, score.Point)
		h.record(score.Success, netip.Prefix{}, alice, password(2))
		same(h, "familiar", h.look(netip.Prefix{}, alice, password(2)).Familiar, false)
	},
	"without an account only the client counts": func(h *harness) {
		got := h.record(score.Failure, client(1), "", none)
		same(h, "client", got.Client.Added, score.Point)
		same(h, "account", got.Account, score.Reading{})
	},
	"IPv6 counts like IPv4": func(h *harness) {
		p := netip.MustParsePrefix("2001:db8:1:2::/64")
		h.record(score.Failure, p, alice, password(1))
		got := h.look(netip.MustParsePrefix("2001:db8:1:3::/64"), alice, none)
		same(h, "other client", got.Client.Score, 0)
		same(h, "network", got.Network.Score, score.Point)
	},
	"a client can be forgotten": func(h *harness) {
		h.record(score.Failure, client(1), alice, password(1))
		if err := h.Store.ForgetClient(context.Background(), client(1)); err != nil {
			h.Fatal(err)
		}
		got := h.look(client(1), alice, none)
		same(h, "client", got.Client, score.Reading{})
		same(h, "account", got.Account.Score, score.Point)
	},
	"what a forgotten client has in flight stays": func(h *harness) {
		h.record(score.Failure, client(1), alice, password(1))
		h.reserve(client(1), alice, password(2))
		if err := h.Store.ForgetClient(context.Background(), client(1)); err != nil {
			h.Fatal(err)
		}
		got := h.look(client(1), alice, none).Client
		same(h, "score", got.Score, 0)
		same(h, "in flight", got.InFlight, score.Point)
		if err := h.Store.ForgetClient(context.Background(), client(2)); err != nil {
			h.Errorf("one that nobody knows: %v", err)
		}
	},
	"slices of unequal length are an error": func(h *harness) {
		ops := []store.Op{h.op(store.Look, client(1), alice, none)}
		if h.Store.Do(context.Background(), ops, nil) == nil {
			h.Error("no error")
		}
	},
}
