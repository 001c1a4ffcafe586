// Package storetest is the contract of a store: what every store does alike,
// whatever it keeps its data in. It uses a store's interfaces only, and a clock
// that the test moves.
package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Fixture is a fresh store with nothing in it and the means to test it.
type Fixture struct {
	// Store is closed by whoever made the fixture.
	Store store.Store
	// Now reads the store's clock.
	Now func() time.Time
	// Advance moves the store's clock, with a negative duration back.
	Advance func(d time.Duration)
	// OnlyForward says that the clock cannot be set back.
	OnlyForward bool
	// Bans is how many automatic bans the ledger takes; 0: too many to try.
	Bans int
	// Reopen closes the store and opens another over the same data, with the
	// same clock. Nil where nothing is durable.
	Reopen func() store.Store
}

// patience is how long a test waits, by the system's clock, for what a store
// does in its own time.
const patience = 10 * time.Second

// Run holds the stores that open makes against the contract.
func Run(t *testing.T, open func(t *testing.T) Fixture) { run(t, nil, open) }

// RunGroups is Run for some groups of the contract only, such as "ledger" and
// "watch": for a store that is made of parts.
func RunGroups(t *testing.T, names []string, open func(t *testing.T) Fixture) { run(t, names, open) }

func run(t *testing.T, names []string, open func(t *testing.T) Fixture) {
	groups := []struct {
		name  string
		tests map[string]func(*harness)
	}{
		{"scores", scoreTests},
		{"places", placeTests},
		{"familiar", familiarTests},
		{"ledger", ledgerTests},
		{"watch", watchTests},
		{"durable", durableTests},
	}
	for _, g := range groups {
		if len(names) > 0 && !slices.Contains(names, g.name) {
			continue
		}
		for name, test := range g.tests {
			t.Run(g.name+"/"+name, func(t *testing.T) {
				h := &harness{T: t, Fixture: open(t), rules: Rules()}
				test(h)
			})
		}
	}
}

// Rules are rules with round numbers: a client is tarpitted at 3 points,
// refused at 10, banned at 20; everything that adds points adds 1.
func Rules() *score.Rules {
	hour := time.Hour.Milliseconds()
	return &score.Rules{
		HalfLife: hour, Failure: score.Point, FreeRepeats: 20,
		Client:    score.Tiers{Tarpit: 3 * score.Point, Refuse: 10 * score.Point, Ban: 20 * score.Point},
		Network:   score.Tiers{Tarpit: 30 * score.Point},
		Account:   score.Tiers{Tarpit: 10 * score.Point, Refuse: 30 * score.Point},
		Pair:      score.Tiers{Tarpit: 5 * score.Point, Refuse: 15 * score.Point},
		PlaceLife: 10_000, FamiliarFor: 30 * 24 * hour, Remember: 3, RememberFor: 90 * 24 * hour,
	}
}

// harness is one test: its store, its rules, and the means to fail it.
type harness struct {
	*testing.T
	Fixture
	rules *score.Rules
	ids   atomic.Uint64
}

// op makes an operation of a client on an account with a password.
// Every one is an attempt of its own.
func (h *harness) op(v store.Verb, client netip.Prefix, account string, password uint32) store.Op {
	id := h.ids.Add(1)
	op := store.Op{
		Verb: v, ID: id, Client: client, Account: account, Guess: id<<16 | 1, Count: 1,
		LapseCounts: true, Rules: h.rules,
	}
	if client.IsValid() {
		bits := 24
		if client.Addr().Is6() {
			bits = 48
		}
		op.Network = netip.PrefixFrom(client.Addr(), bits).Masked()
	}
	if password != none {
		op.Secret, op.Token = score.Sure, password
	}
	return op
}

// do carries out one operation.
func (h *harness) do(op store.Op) store.Standing {
	h.Helper()
	out := make([]store.Standing, 1)
	if err := h.Store.Do(context.Background(), []store.Op{op}, out); err != nil {
		h.Fatalf("Do: %v", err)
	}
	return out[0]
}

func (h *harness) look(client netip.Prefix, account string, password uint32) store.Standing {
	h.Helper()
	return h.do(h.op(store.Look, client, account, password))
}

func (h *harness) reserve(client netip.Prefix, account string, password uint32) store.Standing {
	h.Helper()
	return h.do(h.op(store.Reserve, client, account, password))
}

func (h *harness) record(o score.Outcome, client netip.Prefix, account string, password uint32) store.Standing {
	h.Helper()
	op := h.op(store.Record, client, account, password)
	op.Outcome = o
	return h.do(op)
}

// befriend logs in and waits until the pair is familiar.
func (h *harness) befriend(client netip.Prefix, account string, password uint32) {
	h.Helper()
	h.record(score.Success, client, account, password)
	h.eventually("the pair is familiar", func() bool { return h.look(client, account, password).Familiar })
}

// teach logs in and waits until the password is the account's latest right one.
func (h *harness) teach(client netip.Prefix, account string, password uint32) {
	h.Helper()
	h.record(score.Success, client, account, password)
	h.eventually("the password is known", func() bool { return h.look(client, account, password).Known == 1 })
}

// eventually waits for what a store does in its own time.
func (h *harness) eventually(what string, ok func() bool) {
	h.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// same fails the test unless two values are equal.
func same[T comparable](h *harness, what string, got, want T) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// near fails the test unless an amount is the wanted one, but for what rounding
// and a moment of decay take away.
func near(h *harness, what string, got, want score.Milli) {
	h.Helper()
	if got > want || got < want-want/100-2 {
		h.Errorf("%s: got %d, want about %d thousandths of a point", what, got, want)
	}
}

// client is an address of its own network for each n.
func client(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 7}), 32)
}

// neighbour is the n-th address of one network.
func neighbour(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 32)
}

// none is no password; password is the token of the n-th guess.
const none = 0

func password(n int) uint32 { return uint32(n) + 1 }

func account(n int) string { return fmt.Sprintf("user%d@example.org", n) }
