package guard

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// slowLedger is a ledger whose disk hangs for a while.
type slowLedger struct {
	store.Ledger
	hang chan struct{}
	puts atomic.Int32
}

func (l *slowLedger) Put(ctx context.Context, e store.Entry) (store.Entry, error) {
	l.puts.Add(1)
	<-l.hang
	return l.Ledger.Put(ctx, e)
}

// Twenty people behind one address nobody knows yet log in at the same moment,
// all with their right passwords. What does not fit is refused without points.
func TestACrowdWithRightPasswordsIsNotBanned(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 0 })
	var crowd []Attempt
	for i := range 20 {
		crowd = append(crowd, w.attempt(home, fmt.Sprintf("user%d@example.org", i), "right"))
	}
	refused := 0
	var outcomes []score.Outcome
	for _, a := range crowd {
		if v := w.ask(a); v.Action == Refuse {
			w.want(v, Refuse, RuleInFlight)
			refused++
			outcomes = append(outcomes, score.Refused)
		} else {
			outcomes = append(outcomes, score.Success)
		}
	}
	for i, a := range crowd {
		w.tell(a, outcomes[i])
	}
	if refused == 0 {
		t.Fatal("nobody was refused, so this shows nothing")
	}
	if s := w.ask(w.attempt(home, alice, "x")).Standing.Client.Score; s != 0 || len(w.bans()) != 0 {
		t.Errorf("the client has %d, bans: %v", s, w.bans())
	}
}

func TestWhatIsNeverBanned(t *testing.T) {
	network := func(c *Config) { c.Network.Refuse, c.Network.Ban = 30, 40 }
	for name, clients := range map[string]func(i int) string{
		"a private network":              func(i int) string { return fmt.Sprintf("10.1.2.%d", i) },
		"the network around this host":   func(i int) string { return fmt.Sprintf("203.0.113.%d", i) },
		"a private address behind NAT64": func(int) string { return "64:ff9b::10.0.0.5" },
		"a loopback address in 6to4":     func(int) string { return "2002:7f00:1::1" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, network)
			for i := range 200 {
				w.tell(w.attempt(clients(1+i%60), fmt.Sprintf("u%d@example.org", i), "x"), score.Failure)
			}
			for _, b := range w.bans() {
				if name != "the network around this host" || b.Prefix.Bits() < 32 {
					t.Errorf("banned: %s (%s)", b.Prefix, b.Reason)
				}
			}
		})
	}
	t.Run("a neighbour in this host's own /64", func(t *testing.T) {
		w := newWorld(t, nil)
		w.guard.own = append(w.guard.own, netip.MustParseAddr("2001:db8::25"))
		w.guess("2001:db8::bad", alice, 60)
		if b := w.bans(); len(b) != 0 {
			t.Errorf("banned: %v", b)
		}
		if n := w.logs.FilterMessageSnippet("not banned").Len(); n != 1 {
			t.Errorf("the operator is told %d times", n)
		}
	})
}

func TestParallelGuessesOfAnUnknownMechanismAreBounded(t *testing.T) {
	for _, sessions := range []bool{true, false} {
		w := newWorld(t, func(c *Config) { c.Waiting.Max = 0 })
		w.sessions = sessions
		passed := 0
		for range 500 {
			a := w.attempt(bot, alice, "constant") // as CRAM's hash is
			a.Mechanism = ""
			if w.ask(a).Action != Refuse {
				passed++
			}
		}
		if passed == 0 || passed > 10 {
			t.Errorf("sessions %v: %d of 500 passed at once", sessions, passed)
		}
	}
}

// An attacker with an account of his own logs in now and then, for what that
// forgives. It must not buy him more guesses at others than patience does.
func TestOnesOwnAccountBuysNoGuesses(t *testing.T) {
	day := func(trick bool) (guesses int) {
		w := newWorld(t, nil)
		own := "own@example.org"
		for minute := range 24 * 60 {
			if w.fail(bot, alice, fmt.Sprint("guess", minute)).Action != Refuse {
				guesses++
			}
			if trick && minute%60 == 0 {
				for i := range 5 {
					w.fail(bot, own, fmt.Sprint("own", minute, i))
				}
			}
			if trick && minute%60 == 55 {
				w.succeed(bot, own, "own")
			}
			if len(w.bans()) > 0 {
				break
			}
			w.Advance(time.Minute)
		}
		return guesses
	}
	if without, with := day(false), day(true); with > without {
		t.Errorf("%d guesses with the trick, %d without", with, without)
	}
}

// A botnet is over the account's refuse score. A traveller gets in with his right
// password, even if he mistypes before; a client that tries one password after another
// does not learn from what passes which one was right.
func TestWhoGuessesDoesNotLearnTheRightPassword(t *testing.T) {
	for typos, want := range map[int]Action{0: Pass, 2: Pass, 3: Refuse} {
		w := newWorld(t, nil)
		w.familiar(home, alice, "right")
		for i := range 20 {
			w.fail(fmt.Sprintf("198.51.%d.1", i), alice, fmt.Sprint("guess ", i))
		}
		const hotel = "192.0.2.77"
		for i := range typos {
			w.want(w.fail(hotel, alice, fmt.Sprint("typo ", i)), Refuse, RuleAccountScore)
		}
		if v := w.succeed(hotel, alice, "right"); v.Action != want {
			t.Errorf("after %d others the right password: %s by %q (%s)", typos, v.Action, v.Rule, v.Reason())
		}
	}
}

func TestAStopCountsWhatWasReported(t *testing.T) {
	w := newWorld(t, nil)
	g, err := New(Options{Rules: w.guard.Rules(), Scores: w.store, Ledger: w.store, Key: w.store.Key(), Now: w.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	const reports = 3000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for i := range reports {
		a := w.attempt(fmt.Sprintf("198.%d.%d.1", 20+i/200, i%200), fmt.Sprintf("u%d@example.org", i), "x")
		a.Outcome = score.Failure
		if !g.Report(a) {
			t.Fatal("dropped")
		}
		if i == reports/2 {
			cancel()
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	counted := 0
	for i := range reports/2 + 1 {
		if w.ask(w.attempt(fmt.Sprintf("198.%d.%d.1", 20+i/200, i%200), fmt.Sprint("other", i), "y")).Standing.Client.Score > 0 {
			counted++
		}
	}
	if counted != reports/2+1 {
		t.Errorf("%d of %d reports that came before the stop were counted", counted, reports/2+1)
	}
}

func TestAlive(t *testing.T) {
	w := newWorld(t, nil)
	if !w.guard.Alive(t.Context()) {
		t.Error("dead")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w.guard.brake.mu.Lock()
	defer w.guard.brake.mu.Unlock()
	if w.guard.Alive(ctx) {
		t.Error("alive although a lock is held")
	}
}

func TestObservingTellsWhoWouldHaveBeenRefused(t *testing.T) {
	w := worldOf(t, testConfig(), false)
	w.guess(home, alice, 15)
	w.succeed(home, alice, "right")
	if w.logs.FilterMessageSnippet("succeeded that would have been refused").Len() != 1 {
		t.Error("nobody was told")
	}
	if n := testutil.ToFloat64(w.guard.metrics.observed.WithLabelValues(string(RuleClientScore))); n != 1 {
		t.Errorf("counted %v", n)
	}
	w.succeed(holiday, bob, "right")
	if w.logs.FilterMessageSnippet("succeeded that would have been refused").Len() != 1 {
		t.Error("told of a login that nobody would have refused")
	}
}

func TestOneAttemptIsHeldOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.guess(bot, alice, 4)
	w.Advance(10 * time.Second)
	for i := range 2 { // two attempts, each asked about twice
		a := w.attempt(bot, alice, fmt.Sprint("x", i))
		w.want(w.ask(a), Tarpit, RuleClientScore)
		w.want(w.ask(a), Tarpit, RuleClientScore)
	}
	w.want(w.ask(w.attempt(bot, alice, "x3")), Pass, RuleClientScore)
}

func TestAllowedPrefixesAreUnwrappedLikeClients(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.AllowClients = []string{"::ffff:192.0.2.0/120", "64:ff9b::c633:6400/120", "2002:cb00:7100::/40", "2001:db8::/32"}
	})
	for client, want := range map[string]Rule{
		bot: RuleAllowed, "64:ff9b::192.0.2.9": RuleAllowed, home: RuleAllowed, holiday: RuleAllowed, "2001:db8::1": RuleAllowed, "192.0.3.1": RuleNone,
	} {
		if v := w.ask(w.attempt(client, alice, "x")); v.Rule != want {
			t.Errorf("%s: %q, want %q", client, v.Rule, want)
		}
	}
}

// A disk that hangs holds up bans, not the counting.
func TestASlowLedgerHoldsUpNothingElse(t *testing.T) {
	w := newWorld(t, nil)
	slow := &slowLedger{Ledger: w.store, hang: make(chan struct{})}
	g, err := New(Options{Rules: w.guard.Rules(), Scores: w.store, Ledger: slow, Key: w.store.Key(), Now: w.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Run(ctx) })
	for i := range 2000 { // forty clients that each earn a ban
		a := w.attempt(fmt.Sprintf("198.51.%d.1", i%40), alice, fmt.Sprint(i))
		a.Outcome = score.Failure
		g.Report(a)
	}
	last := w.attempt("198.51.200.1", bob, "x")
	last.Outcome = score.Failure
	g.Report(last)
	for deadline := time.Now().Add(5 * time.Second); w.ask(w.attempt("198.51.200.1", bob, "y")).Standing.Client.Score == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the counting waits for the ledger")
		}
		time.Sleep(time.Millisecond)
	}
	if n := slow.puts.Load(); n == 0 || n > banWorkers {
		t.Errorf("%d bans are under way", n)
	}
	close(slow.hang)
	cancel()
	wg.Wait()
	if n := slow.puts.Load(); n != 40 {
		t.Errorf("%d of 40 bans were made", n)
	}
}
