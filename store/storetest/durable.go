package storetest

import (
	"context"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// reopen closes and opens the store, or skips the test where nothing is durable.
func (h *harness) reopen() {
	h.Helper()
	if h.Reopen == nil {
		h.Skip("nothing is durable")
	}
	h.Store = h.Reopen()
}

var durableTests = map[string]func(*harness){
	"the key is random and stays": func(h *harness) {
		key := h.Store.Key()
		same(h, "zero", key == [16]byte{}, false)
		h.reopen()
		same(h, "key", h.Store.Key(), key)
	},
	"scores stay": func(h *harness) {
		for i := range 20 {
			h.record(score.Failure, client(1), account(i), password(i))
		}
		before := h.look(client(1), account(1), none)
		h.reopen()
		same(h, "client", h.look(client(1), account(1), none).Client, before.Client)
		same(h, "network", h.look(client(1), account(1), none).Network, before.Network)
		same(h, "account", h.look(client(1), account(1), none).Account, before.Account)
		same(h, "the ring", h.record(score.Failure, client(1), account(3), password(3)).Client.Added, 0)
	},
	"familiar pairs and right passwords stay": func(h *harness) {
		h.befriend(client(1), alice, password(1))
		h.teach(client(1), alice, password(2))
		h.reopen()
		got := h.look(client(1), alice, password(1))
		same(h, "familiar", got.Familiar, true)
		same(h, "accounts", got.FamiliarAccounts, 1)
		same(h, "known", got.Known, 2)
	},
	"what was forgotten does not come back": func(h *harness) {
		h.befriend(client(1), alice, password(1))
		h.record(score.Failure, client(2), alice, password(2))
		if _, err := h.Store.ForgetAccount(context.Background(), alice); err != nil {
			h.Fatal(err)
		}
		if err := h.Store.ForgetClient(context.Background(), client(2)); err != nil {
			h.Fatal(err)
		}
		h.put(ban(client(3)))
		h.remove(ban(client(3)))
		h.reopen()
		got := h.look(client(1), alice, password(1))
		same(h, "familiar", got.Familiar, false)
		same(h, "known", got.Known, 0)
		same(h, "client", h.look(client(2), alice, none).Client.Score, 0)
		same(h, "bans", h.watch().size(), 0)
	},
	"bans stay, and how often": func(h *harness) {
		first := h.put(ban(client(1)))
		h.put(store.Entry{Kind: store.OperatorBan, Account: alice, Reason: "stolen", By: "root"})
		h.reopen()
		t := h.watch()
		same(h, "entries", t.size(), 2)
		got, _ := t.find(store.AutomaticBan, client(1))
		same(h, "entry", got, first)
		h.Advance(h.lasts(first) + time.Second)
		h.reopen()
		same(h, "over", h.watch().size(), 1)
		same(h, "times", h.put(ban(client(1))).Times, 2)
	},
	"how often a ban was only observed stays": func(h *harness) {
		observed := ban(client(1))
		observed.Observed = true
		h.Advance(h.lasts(h.put(observed)) + time.Minute)
		h.reopen()
		same(h, "observed", h.put(observed).Times, 2)
		same(h, "enforced", h.put(ban(client(1))).Times, 1)
	},
	"a closed store says so": func(h *harness) {
		ctx := context.Background()
		if err := h.Store.Close(ctx); err != nil {
			h.Fatal(err)
		}
		if err := h.Store.Close(ctx); err != nil {
			h.Errorf("closing again: %v", err)
		}
		out := make([]store.Standing, 1)
		if h.Store.Do(ctx, []store.Op{h.op(store.Look, client(1), alice, none)}, out) == nil {
			h.Error("Do does not fail")
		}
		if _, err := h.Store.Put(ctx, ban(client(1))); err == nil {
			h.Error("Put does not fail")
		}
		if h.Store.ForgetClient(ctx, client(1)) == nil {
			h.Error("ForgetClient does not fail")
		}
		if _, err := h.Store.ForgetAccount(ctx, alice); err == nil {
			h.Error("ForgetAccount does not fail")
		}
		if h.Store.Watch(ctx, func(store.Event) error { return nil }) == nil {
			h.Error("Watch does not fail")
		}
	},
}
