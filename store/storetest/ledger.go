package storetest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/saslguard/saslguard/store"
)

// ladder lasts an hour, then two, up to a day; it is forgotten after sixty days.
func ladder() store.Ladder {
	return store.Ladder{First: time.Hour, Max: aDay, Forget: 60 * aDay}
}

func ban(p netip.Prefix) store.Entry {
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: p, Reason: "guessing passwords", Rule: "client", By: "mx1", Ladder: ladder(),
	}
}

func (h *harness) put(e store.Entry) store.Entry {
	h.Helper()
	got, err := h.Store.Put(context.Background(), e)
	if err != nil {
		h.Fatalf("Put %v %s: %v", e.Prefix, e.Account, err)
	}
	return got
}

func (h *harness) remove(e store.Entry) bool {
	h.Helper()
	found, err := h.Store.Remove(context.Background(), e)
	if err != nil {
		h.Fatalf("Remove %v %s: %v", e.Prefix, e.Account, err)
	}
	return found
}

// lasts is how long an entry is in force from now on.
func (h *harness) lasts(e store.Entry) time.Duration {
	return e.Until.Sub(h.Now()).Round(time.Second)
}

var ledgerTests = map[string]func(*harness){
	"a ban is returned as it is in force": func(h *harness) {
		got := h.put(ban(client(1)))
		same(h, "prefix", got.Prefix, client(1))
		same(h, "times", got.Times, 1)
		same(h, "lasts", h.lasts(got), time.Hour)
		same(h, "since", got.Since.UnixMilli(), h.Now().UnixMilli())
		same(h, "reason", got.Reason+got.Rule+got.By, "guessing passwords"+"client"+"mx1")
		same(h, "ladder", got.Ladder, store.Ladder{})
	},
	"a ban in force stays as it is": func(h *harness) {
		first := h.put(ban(client(1)))
		h.Advance(time.Minute)
		again := ban(client(1))
		again.Reason = "another"
		same(h, "entry", h.put(again), first)
	},
	"what a program allows yields to what an operator allows": func(h *harness) {
		operators := store.Entry{Kind: store.Allow, Prefix: client(1), Reason: "the office", By: "root"}
		programs := store.Entry{Kind: store.Allow, Prefix: client(1), Rule: "name home.example.org", By: "mx1", Until: h.Now().Add(time.Hour)}
		same(h, "nobody's before", h.put(programs).Rule, programs.Rule)
		mine := h.put(operators)
		same(h, "an operator's replaces a program's", mine.Rule, "")
		h.Advance(time.Minute)
		programs.Until = h.Now().Add(time.Hour)
		same(h, "a program's yields", h.put(programs), mine)
		again := operators
		again.Until = h.Now().Add(time.Minute)
		same(h, "another operator's replaces", h.put(again).Until.UnixMilli(), again.Until.UnixMilli())
		h.Advance(2 * time.Minute)
		same(h, "once that is over, a program's holds", h.put(programs).Rule, programs.Rule)
	},
	"what a program allows yields however the two cross": func(h *harness) {
		var all sync.WaitGroup
		for i := range 8 {
			operators := store.Entry{Kind: store.Allow, Prefix: client(i), Reason: "the office", By: "root"}
			programs := store.Entry{Kind: store.Allow, Prefix: client(i), Rule: "name home.example.org", By: "mx1", Until: h.Now().Add(15 * time.Minute)}
			for j := range 4 {
				all.Go(func() {
					if j == i%4 {
						same(h, "an operator's is in force when it is put", h.put(operators).Rule, "")
					} else {
						h.put(programs)
					}
				})
			}
		}
		all.Wait()
		h.Advance(time.Minute)
		for i := range 8 {
			programs := store.Entry{Kind: store.Allow, Prefix: client(i), Rule: "name home.example.org", By: "mx2", Until: h.Now().Add(15 * time.Minute)}
			got := h.put(programs)
			same(h, "in force", got.Reason, "the office")
			same(h, "without an end", got.Until.IsZero(), true)
		}
	},
	"bans double": func(h *harness) {
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 24, 24} {
			got := h.put(ban(client(1)))
			same(h, "times", got.Times, i+1)
			same(h, "lasts", h.lasts(got), want*time.Hour)
			h.Advance(h.lasts(got) + time.Minute)
		}
		same(h, "another client", h.put(ban(client(2))).Times, 1)
	},
	"the number of bans is forgotten": func(h *harness) {
		h.put(ban(client(1)))
		h.Advance(59 * aDay)
		got := h.put(ban(client(1)))
		same(h, "remembered", got.Times, 2)
		h.Advance(h.lasts(got) + 61*aDay)
		same(h, "forgotten", h.put(ban(client(1))).Times, 1)
	},
	"an observed ban becomes an enforced one": func(h *harness) {
		observed := ban(client(1))
		observed.Observed = true
		same(h, "observed", h.put(observed).Observed, true)
		h.Advance(time.Minute)
		got := h.put(ban(client(1)))
		same(h, "enforced", got.Observed, false)
		same(h, "the same time", got.Times, 1)
		same(h, "lasts", h.lasts(got), time.Hour)
		same(h, "not back again", h.put(observed).Observed, false)
	},
	"observed bans that ended make no enforced one longer": func(h *harness) {
		observed := ban(client(1))
		observed.Observed = true
		for i := range 3 {
			got := h.put(observed)
			same(h, "observed times", got.Times, i+1)
			h.Advance(h.lasts(got) + time.Minute)
		}
		h.put(observed)
		got := h.put(ban(client(1)))
		same(h, "first enforced", got.Times, 1)
		same(h, "lasts", h.lasts(got), time.Hour)
		h.Advance(h.lasts(got) + time.Minute)
		got = h.put(ban(client(1)))
		same(h, "second enforced", got.Times, 2)
		h.Advance(h.lasts(got) + time.Minute)
		same(h, "observed after them", h.put(observed).Times, 3)
	},
	"automatic bans leave room for operators": func(h *harness) {
		if h.Bans == 0 {
			h.Skip("too many to try")
		}
		var all sync.WaitGroup
		for w := range 50 {
			all.Go(func() {
				for i := w; i < h.Bans; i += 50 {
					h.put(ban(client(i)))
				}
			})
		}
		all.Wait()
		if _, err := h.Store.Put(context.Background(), ban(client(h.Bans))); !errors.Is(err, store.ErrFull) {
			h.Errorf("one more: error %v", err)
		}
		same(h, "one in force", h.put(ban(client(3))).Times, 1)
		h.put(store.Entry{Kind: store.OperatorBan, Prefix: client(h.Bans), By: "root"})
		h.put(store.Entry{Kind: store.Allow, Account: alice, By: "root"})
		h.remove(ban(client(3)))
		h.put(ban(client(h.Bans)))
	},
	"an observed ban stays as it is": func(h *harness) {
		observed := ban(client(1))
		observed.Observed = true
		first := h.put(observed)
		h.Advance(time.Minute)
		same(h, "entry", h.put(observed), first)
	},
	"bans may have an end or none": func(h *harness) {
		e := ban(client(1))
		e.Ladder = store.Ladder{}
		same(h, "permanent", h.put(e).Until.IsZero(), true)
		e = ban(client(2))
		e.Until = h.Now().Add(5 * time.Minute)
		same(h, "until", h.lasts(h.put(e)), 5*time.Minute)
	},
	"an operator's entry replaces the one before": func(h *harness) {
		e := store.Entry{Kind: store.OperatorBan, Account: alice, Reason: "stolen", By: "root"}
		h.put(e)
		e.Reason, e.Until = "stolen again", h.Now().Add(time.Hour)
		same(h, "reason", h.put(e).Reason, "stolen again")
		same(h, "found", h.remove(e), true)
		same(h, "only one", h.remove(e), false)
	},
	"kinds do not disturb each other": func(h *harness) {
		p := netip.MustParsePrefix("2001:db8::/32")
		h.put(store.Entry{Kind: store.OperatorBan, Prefix: p})
		h.put(store.Entry{Kind: store.Allow, Prefix: p})
		h.put(ban(p))
		same(h, "allow", h.remove(store.Entry{Kind: store.Allow, Prefix: p}), true)
		same(h, "ban", h.remove(store.Entry{Kind: store.OperatorBan, Prefix: p}), true)
		same(h, "automatic", h.remove(ban(p)), true)
	},
	"remove takes exactly the prefix": func(h *harness) {
		h.put(ban(netip.MustParsePrefix("192.0.2.0/24")))
		same(h, "an address of it", h.remove(ban(neighbour(1))), false)
		same(h, "a wider one", h.remove(ban(netip.MustParsePrefix("192.0.0.0/16"))), false)
		same(h, "itself", h.remove(ban(netip.MustParsePrefix("192.0.2.0/24"))), true)
	},
	"remove forgets the number of bans": func(h *harness) {
		h.Advance(h.lasts(h.put(ban(client(1)))) + time.Minute)
		same(h, "times", h.put(ban(client(1))).Times, 2)
		same(h, "found", h.remove(ban(client(1))), true)
		same(h, "times after", h.put(ban(client(1))).Times, 1)
	},
	"remove of a ban that is over finds none, and forgets": func(h *harness) {
		h.Advance(h.lasts(h.put(ban(client(1)))) + time.Minute)
		same(h, "found", h.remove(ban(client(1))), false)
		same(h, "times", h.put(ban(client(1))).Times, 1)
	},
	"what cannot be an entry is refused": func(h *harness) {
		good := func() store.Entry { return ban(client(1)) }
		for name, spoil := range map[string]func(e *store.Entry){
			"nothing named":     func(e *store.Entry) { e.Prefix = netip.Prefix{} },
			"both named":        func(e *store.Entry) { e.Account = alice },
			"not masked":        func(e *store.Entry) { e.Prefix = netip.MustParsePrefix("192.0.2.1/24") },
			"IPv4 in IPv6":      func(e *store.Entry) { e.Prefix = netip.MustParsePrefix("::ffff:192.0.2.1/128") },
			"a long reason":     func(e *store.Entry) { e.Reason = strings.Repeat("x", 257) },
			"two lines":         func(e *store.Entry) { e.Reason = "one\ntwo" },
			"an escape":         func(e *store.Entry) { e.By = "\x1b[2J" },
			"no UTF-8":          func(e *store.Entry) { e.Rule = "\xff" },
			"an unknown kind":   func(e *store.Entry) { e.Kind = 9 },
			"over already":      func(e *store.Entry) { e.Until = h.Now().Add(-time.Hour) },
			"no first duration": func(e *store.Entry) { e.Ladder.First = 0 },
		} {
			e := good()
			spoil(&e)
			if _, err := h.Store.Put(context.Background(), e); !errors.Is(err, store.ErrInvalid) {
				h.Errorf("%s: got error %v", name, err)
			}
		}
	},
}
