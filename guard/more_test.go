package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

func TestBansDoubleAndAreForgotten(t *testing.T) {
	w := newWorld(t, nil)
	length := func() time.Duration {
		t.Helper()
		w.guess(bot, alice, 30)
		b := w.bans()
		if len(b) != 1 {
			t.Fatalf("bans: %+v", b)
		}
		d := b[0].Until.Sub(w.Now())
		w.Advance(d + 12*time.Hour) // the score is gone as well
		return d.Round(time.Second)
	}
	for i, want := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour} {
		if got := length(); got != want {
			t.Errorf("ban %d lasts %s, want %s", i+1, got, want)
		}
	}
	w.Advance(61 * 24 * time.Hour)
	if got := length(); got != time.Hour {
		t.Errorf("after 61 days the ban lasts %s", got)
	}
}

func TestParallelGuessesAreExactlyTheBudget(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Points.UnknownAccount = 0; c.Waiting.Max = 20 * time.Millisecond })
	var verified atomic.Int32
	var wg sync.WaitGroup
	attempts := make([]Attempt, 300)
	for i := range attempts {
		attempts[i] = w.attempt(bot, alice, fmt.Sprint("guess", i))
		attempts[i].Mechanism = "CRAM-MD5" // a 12-bit hash would let 1 in 4096 through
	}
	for _, a := range attempts {
		wg.Go(func() {
			if w.guard.Check(context.Background(), &a).Action == Refuse {
				return
			}
			verified.Add(1)
			time.Sleep(time.Millisecond)
			a.Outcome = score.Failure
			w.guard.Report(a)
		})
	}
	wg.Wait()
	if n := verified.Load(); n > 10 {
		t.Errorf("%d of 300 parallel guesses were verified", n)
	}
	if n := verified.Load(); n < 10 {
		// Those that did not fit were refused without points: the next ones pass.
		deadline := time.Now().Add(5 * time.Second)
		for i := 0; verified.Load() < 10 && time.Now().Before(deadline); i++ {
			a := w.attempt(bot, alice, fmt.Sprint("later", i))
			a.Mechanism = "CRAM-MD5"
			if w.ask(a).Action != Refuse {
				w.tell(a, score.Failure)
				verified.Add(1)
			}
		}
		if n := verified.Load(); n != 10 {
			t.Errorf("%d guesses in all", n)
		}
	}
}

func TestWaitingIsBoundedAndEndsEarly(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 10 * time.Second })
	var held []Attempt
	for i := range 30 {
		a := w.attempt(bot, alice, fmt.Sprint("guess", i))
		if w.guard.waiting.enter(netip.Prefix{}, WaitingConfig{}) {
			t.Fatal("waits although it may not")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if w.guard.Check(ctx, &a).Rule == RuleInFlight {
			cancel()
			break
		}
		cancel()
		held = append(held, a)
	}
	if len(held) == 0 || len(held) > 10 {
		t.Fatalf("%d held", len(held))
	}
	late := w.attempt(bot, alice, "late")
	got := make(chan Verdict, 1)
	go func() { got <- w.guard.Check(context.Background(), &late) }()
	for w.waiters() == 0 {
		time.Sleep(time.Millisecond)
	}
	w.tell(held[0], score.Failure)
	select {
	case v := <-got:
		if v.Action == Refuse {
			t.Errorf("refused after a place was free: %s", v.Reason())
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody woke the waiting")
	}
}

func TestNoMoreWaitThanMay(t *testing.T) {
	w := newWorld(t, nil)
	c := WaitingConfig{Max: time.Second, HeldClient: 2, HeldHost: 3}
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	got := fmt.Sprint(w.guard.waiting.enter(a, c), w.guard.waiting.enter(a, c), w.guard.waiting.enter(a, c),
		w.guard.waiting.enter(b, c), w.guard.waiting.enter(b, c))
	if got != "true true false true false" {
		t.Error(got)
	}
	w.guard.waiting.leave(a)
	if !w.guard.waiting.enter(b, c) {
		t.Error("a place that was left is not given again")
	}
}

func TestAStaleQuestionReservesNothing(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 100 {
		a := w.attempt(bot, alice, fmt.Sprint(i))
		a.Stale = true
		w.want(w.ask(a), Pass, RuleNone)
	}
	if s := w.ask(w.attempt(bot, alice, "x")).Standing; s.Client.InFlight > 2*score.Point {
		t.Errorf("%d in flight", s.Client.InFlight)
	}
}

func TestAQuestionWithoutReportCountsOnlyWhereReportsCome(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 5 {
		w.ask(w.attempt(home, alice, fmt.Sprint(i)))
	}
	w.Advance(11 * time.Second)
	if s := w.ask(w.attempt(home, alice, "x")).Standing; s.Client.Score != 0 {
		t.Errorf("no report has ever come, and the client has %d points", s.Client.Score)
	}
	w.guard.Report(func() Attempt { a := w.attempt(holiday, bob, "x"); a.Outcome = score.Failure; return a }())
	w.Advance(11 * time.Second)
	w.ask(w.attempt(home, alice, "y"))
	w.Advance(11 * time.Second)
	if s := w.ask(w.attempt(home, alice, "z")).Standing; s.Client.Score == 0 {
		t.Error("a guess whose report was lost counts nothing")
	}
}

func TestTheBrake(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 12 {
		w.familiar(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("u%d@example.org", i), "right")
	}
	w.Advance(time.Hour)
	for i := range 9 {
		w.fail(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("u%d@example.org", i), "right")
	}
	if w.guard.brake.on(w.Now()) {
		t.Fatal("nine networks pulled the brake")
	}
	w.fail("198.51.10.1", "u10@example.org", "right")
	if !w.guard.brake.on(w.Now()) {
		t.Fatal("ten networks did not pull the brake")
	}
	if w.logs.FilterMessageSnippet("automatic bans pause").Len() != 1 {
		t.Error("the operator was not told once")
	}
	w.guess(bot, alice, 40)
	if len(w.bans()) != 0 {
		t.Error("banned while the brake is on")
	}
	w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleClientScore)
	w.Advance(11 * time.Minute)
	w.guess(bot, bob, 40)
	if len(w.bans()) != 1 {
		t.Error("not banned after the brake")
	}
}

func TestAFewForgetfulPeopleDoNotPullTheBrake(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 40 {
		w.familiar(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("u%d@example.org", i), "right")
		w.succeed(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("u%d@example.org", i), "right")
	}
	for i := range 12 {
		w.fail(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("u%d@example.org", i), "wrong")
	}
	if w.guard.brake.on(w.Now()) {
		t.Error("pulled although most get in")
	}
}

func TestTarpitsAreFew(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Tarpit.HeldPostfix = 3 })
	hold := func(f Face, client string) bool {
		return w.guard.tarpits.hold(f, netip.MustParsePrefix(client+"/32"), 0, 4*time.Second, w.Now(), w.guard.Rules().tarpit)
	}
	if !hold(Postfix, bot) || !hold(Dovecot, bot) || hold(Postfix, bot) || hold(Dovecot, bot) {
		t.Error("two at once for a client, over both")
	}
	if !hold(Postfix, home) || !hold(Postfix, holiday) || hold(Postfix, "192.0.2.1") {
		t.Error("three at once for Postfix")
	}
	w.Advance(4 * time.Second)
	if !hold(Postfix, "192.0.2.1") || w.guard.tarpits.count(Postfix, w.Now()) != 1 {
		t.Error("a delay that is over is still held")
	}
}

func TestClientAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1",
		"::ffff:192.0.2.1":    "192.0.2.1",
		"64:ff9b::8.8.8.8":    "8.8.8.8",
		"2002:0808:0808::1":   "8.8.8.8",
		"2002:7f00:0001::1":   "2002:7f00:1::1", // nobody becomes loopback by a tunnel
		"64:ff9b::127.0.0.1":  "64:ff9b::7f00:1",
		"64:ff9b::10.0.0.1":   "64:ff9b::a00:1",
		"2002:c0a8:0101::":    "2002:c0a8:101::",
		"2001:db8::1":         "2001:db8::1",
		"fe80::1%eth0":        "fe80::1",
		"::ffff:127.0.0.1":    "127.0.0.1",
		"64:ff9b::100.64.0.1": "64:ff9b::6440:1",
		"2002:e000:0001::1":   "2002:e000:1::1", // multicast
		"64:ff9b:1::8.8.8.8":  "64:ff9b:1::808:808",
	} {
		if got := clientAddr(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	w := newWorld(t, nil)
	for i := range 60 { // an attacker rotates within his /64
		w.fail(fmt.Sprintf("2001:db8:0:1::%x", i+1), alice, fmt.Sprint(i))
	}
	if b := w.bans(); len(b) != 1 || b[0].Prefix.String() != "2001:db8:0:1::/64" {
		t.Errorf("bans: %+v", b)
	}
}

func TestAccounts(t *testing.T) {
	c := testConfig()
	c.DefaultDomain = "example.org"
	r, err := NewRules(c, true)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"":                  "",
		"alice":             alice,
		"Alice@Example.ORG": alice,
		"a\x00b@c":          "a\x00b@c",
	} {
		if got := r.Account(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, long := range []string{strings.Repeat("x", 10_000), strings.Repeat("Ⱥ", 10_000)} {
		if n := len(r.Account(long)); n > store.MaxAccount {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestTheMechanismUnknownIsNotRememberedAsRight(t *testing.T) {
	w := newWorld(t, nil)
	cram := w.attempt(home, alice, "")
	cram.Mechanism = ""
	w.ask(cram)
	w.tell(cram, score.Success)
	// The same constant hash from elsewhere is a guess, after the free repeats.
	verified := 0
	for range 100 {
		a := w.attempt(bot, alice, "")
		a.Mechanism = ""
		if w.ask(a).Action == Refuse {
			break
		}
		verified++
		w.tell(a, score.Failure)
	}
	if verified > 31 {
		t.Errorf("%d guesses behind a constant hash", verified)
	}
}

// failing is a store that does not answer.
type failing struct{ store.Scores }

func (failing) Do(context.Context, []store.Op, []store.Standing) error {
	return errors.New("the store is down")
}

func TestAStoreThatFailsLetsPass(t *testing.T) {
	w := newWorld(t, nil)
	g, err := New(Options{Rules: w.guard.Rules(), Scores: failing{}, Ledger: w.store, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	a := w.attempt(bot, alice, "x")
	w.want(g.Check(t.Context(), &a), Pass, RuleStoreFailing)
	a.Outcome = score.Failure
	if err := g.Apply(t.Context(), []Attempt{a}, make([]Verdict, 1)); err == nil {
		t.Error("the failure was swallowed")
	}
}

func TestAFullQueueDropsAndCounts(t *testing.T) {
	w := newWorld(t, nil)
	core, logs := observer.New(zap.InfoLevel)
	g, err := New(Options{Rules: w.guard.Rules(), Scores: w.store, Ledger: w.store, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	for range queueSize { // nobody works this one
		if !g.Report(Attempt{}) {
			t.Fatal("dropped too early")
		}
	}
	for range 2 {
		if g.Report(Attempt{}) {
			t.Error("took more than fits")
		}
	}
	if n := logs.FilterMessageSnippet("reports are dropped").Len(); n != 1 || testutil.ToFloat64(g.metrics.dropped) != 2 {
		t.Errorf("said %d times of %v", n, testutil.ToFloat64(g.metrics.dropped))
	}
}

func TestUnguarded(t *testing.T) {
	w := newWorld(t, nil)
	w.want(w.guard.Check(t.Context(), &Attempt{}), Pass, RuleUnguarded)
	w.tell(Attempt{Outcome: score.Failure}, score.Failure)
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"alice@example.org":      "alice@example.org",
		"a\nb":                   `a\nb`,
		"ä":                      `\u00e4`,
		"\xff\x1b[31m":           `\xff\x1b[31m`,
		`"quoted"`:               `\"quoted\"`,
		strings.Repeat("x", 100): strings.Repeat("x", 80) + "…+20",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReasonsAreWords(t *testing.T) {
	w := newWorld(t, nil)
	seen := map[Rule]string{}
	for i := range 40 {
		v := w.fail(bot, fmt.Sprintf("u%d@example.org", i), "x")
		seen[v.Rule] = v.Reason()
	}
	for _, r := range []Rule{RuleClientScore, RuleBan} {
		if s := seen[r]; len(s) < 20 || strings.Contains(s, "%!") {
			t.Errorf("%s: %q", r, s)
		}
	}
	if got := (&Verdict{}).Reason(); got == "" {
		t.Error("the zero verdict has no reason")
	}
}
