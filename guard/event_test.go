package guard

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// seen collects events.
type seen struct {
	mu     sync.Mutex
	events []Event
}

func (s *seen) observe(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *seen) of(k EventKind) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of []Event
	for _, e := range s.events {
		if e.Kind == k && (e.Entry == nil || e.Entry.Kind == store.AutomaticBan) { // world.follow leaves marks
			of = append(of, e)
		}
	}
	return of
}

func TestObserversAreToldWhatWasDecided(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 20 {
		w.fail(bot, alice, string(rune('a'+i)))
	}
	w.follow()
	s := &w.seen
	asked, reported, banned, changed := s.of(Asked), s.of(Reported), s.of(Banned), s.of(Changed)
	if len(asked) == 0 || len(asked) != len(reported)-3 { // the first three pass
		t.Fatalf("%d were asked, %d reported", len(asked), len(reported))
	}
	if e := asked[0]; e.Outcome != score.Unknown || e.Addr.String() != bot || e.Account != alice || e.Verdict.Would != Tarpit || e.Host != "test" || e.Service != "imap" {
		t.Errorf("asked: %+v", e)
	}
	if e := reported[0]; e.Outcome != score.Failure || e.Count != 1 || e.Verdict.Standing.Client.Added != score.Point || e.Met != RuleNone {
		t.Errorf("reported: %+v", e)
	}
	last := reported[len(reported)-1]
	if last.Outcome != score.Refused || last.Met != RuleClientScore || last.Verdict.Would != Refuse || last.Verdict.Rules() != w.guard.Rules() {
		t.Errorf("reported last: %+v", last)
	}
	if len(banned) != 1 || banned[0].Entry.Prefix.String() != bot+"/32" || banned[0].Entry.By != "test" {
		t.Fatalf("banned: %+v", banned)
	}
	if len(changed) != 1 || changed[0].Entry.Prefix != banned[0].Entry.Prefix {
		t.Errorf("changed: %+v", changed)
	}
	if _, err := w.store.Remove(t.Context(), *banned[0].Entry); err != nil {
		t.Fatal(err)
	}
	w.follow()
	if removed := s.of(Removed); len(removed) != 1 || removed[0].Entry.Prefix != banned[0].Entry.Prefix {
		t.Errorf("removed: %+v", removed)
	}
}

// A guard that starts reads what is in force. That is no news.
func TestObserversAreNotToldOfASnapshot(t *testing.T) {
	w, s := newWorld(t, nil), &seen{}
	ban := store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix(bot + "/32"), By: "test"}
	if _, err := w.store.Put(t.Context(), ban); err != nil {
		t.Fatal(err)
	}
	g, err := New(Options{
		Rules: w.guard.Rules(), Scores: w.store, Ledger: w.store, Key: w.store.Key(), Host: "test",
		Now: w.Now, Logger: zap.NewNop(), Observe: s.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-g.Synced()
	if v := g.Check(ctx, &Attempt{Face: Dovecot, Client: ban.Prefix.Addr()}); v.Rule != RuleBan {
		t.Errorf("%+v", v)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(s.of(Changed)) != 0 || len(s.of(Banned)) != 0 || len(s.of(Asked)) != 1 {
		t.Errorf("told: %+v", s.events)
	}
}

func TestObserversAreToldOfTheBrake(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Brake.Networks = 1 })
	w.familiar(home, alice, "right")
	w.fail(home, alice, "wrong")
	w.fail(home, alice, "wronger")
	if braked := w.seen.of(Braked); len(braked) != 1 || braked[0].Verdict.Rules().BrakePause() == 0 {
		t.Errorf("braked: %+v", braked)
	}
}

// Each rule has a number of its own.
func TestRuleNumbers(t *testing.T) {
	seen := map[uint8]Rule{}
	for _, r := range []Rule{
		RuleNone, RuleUnguarded, RuleOperatorBan, RuleAccountBlock, RuleAllowed, RuleBan, RuleClientScore, RulePairScore,
		RuleNetworkScore, RuleAccountScore, RuleInFlight, RuleTrap, RuleStoreFailing,
	} {
		n := r.Number()
		if other, ok := seen[n]; ok || n >= ruleNumbers {
			t.Errorf("%q has the number %d, as %q", r, n, other)
		}
		seen[n] = r
	}
	if len(seen) != ruleNumbers {
		t.Errorf("%d rules", len(seen))
	}
}
