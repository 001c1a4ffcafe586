package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// unhurried is a guard over the world's store that counts reports when it is told to,
// as one does whose store is slow.
type unhurried struct {
	*world
	guard *Guard
}

func (w *world) unhurried() *unhurried {
	w.Helper()
	g, err := New(Options{
		Rules: w.guard.Rules(), Scores: w.store, Ledger: w.store, Key: w.store.Key(), Host: "slow",
		Now: w.Now, Random: w.guard.random, Logger: zap.NewNop(),
	})
	if err != nil {
		w.Fatal(err)
	}
	return &unhurried{w, g}
}

func (u *unhurried) ask(a Attempt) Verdict {
	a.Outcome = score.Unknown
	return u.guard.Check(u.Context(), &a)
}

// report has an attempt reported. It is not counted yet.
func (u *unhurried) report(a Attempt, o score.Outcome) {
	u.Helper()
	a.Outcome = o
	if !u.guard.Report(a) {
		u.Fatal("the report was dropped")
	}
}

// count counts what was reported.
func (u *unhurried) count() { u.guard.drain(nil, make([]Verdict, batchSize)) }

func (u *unhurried) look(client, login string) store.Standing {
	u.Helper()
	in, err := u.guard.Look(u.Context(), netip.MustParseAddr(client), login)
	if err != nil {
		u.Fatal(err)
	}
	return in.Standing
}

// waiters is how many wait for a place.
func (u *unhurried) waiters() int {
	u.guard.waiting.mu.Lock()
	defer u.guard.waiting.mu.Unlock()
	return u.guard.waiting.host
}

// scram is a login by SCRAM in a session of its own.
func (w *world) scram(client, login string) Attempt {
	a := w.attempt(client, login, "the hash of no password")
	a.Mechanism, a.NoSecret, a.HashChecked = "SCRAM-SHA-256", true, true
	return a
}

// Many connections at the edge of the budget, each with a guess and at once the next,
// before the report of the one before was counted: no more are verified than there is
// room for.
func TestTheNextGuessOfASessionHasAPlaceOfItsOwn(t *testing.T) {
	for _, mechanism := range []string{"CRAM-MD5", "SCRAM-SHA-256", ""} {
		for _, service := range []string{"imap", "pop3", "sieve", "smtp"} {
			t.Run(fmt.Sprint(mechanism, " by ", service), func(t *testing.T) {
				u := newWorld(t, func(c *Config) { c.Waiting.Max = 0 }).unhurried()
				sessions := make([]Attempt, 64)
				for i := range sessions {
					sessions[i] = u.scram(bot, alice)
					sessions[i].Mechanism, sessions[i].Service = mechanism, service
				}
				verified := 0
				try := func() {
					for _, a := range sessions {
						if u.ask(a).Action == Refuse {
							u.report(a, score.Refused)
							continue
						}
						verified++
						u.report(a, score.Failure)
					}
				}
				for range 3 {
					try()
				}
				if verified > 10 {
					t.Errorf("%d were verified before the first was counted", verified)
				}
				for range 3 {
					u.count()
					try()
				}
				if verified != 10 {
					t.Errorf("%d were verified", verified)
				}
				u.count()
				if s := u.world.ask(u.scram(bot, bob)).Standing.Client; s.InFlight != 0 {
					t.Errorf("%d points are still in flight", s.InFlight)
				}
			})
		}
	}
}

// Dovecot may ask before and after it has verified a password, and with SCRAM once
// more: that is one guess, also when it is the second of its session and the first has
// not been counted, and where there is no room for another.
func TestQuestionsAboutOneGuessShareItsPlace(t *testing.T) {
	for before, failed := range map[int]bool{0: false, 1: true, 7: true, 8: false} {
		t.Run(fmt.Sprint(before, " points before"), func(t *testing.T) {
			u := newWorld(t, func(c *Config) { c.Waiting.Max = time.Millisecond }).unhurried()
			for i := range before {
				u.fail(bot, alice, fmt.Sprint("guess ", i))
			}
			a := u.scram(bot, alice)
			if failed {
				u.ask(a)
				u.report(a, score.Failure)
			}
			for range 3 {
				if v := u.ask(a); v.Action == Refuse {
					t.Errorf("refused by %q", v.Rule)
				}
			}
			u.report(a, score.Success)
			u.count()
			s := u.look(bot, alice)
			if s.Client.Score != 0 || s.Client.InFlight != 0 || s.Account.InFlight != 0 {
				t.Errorf("after the success %d points, %d in flight, %d at the account", s.Client.Score, s.Client.InFlight, s.Account.InFlight)
			}
		})
	}
}

// A report may come later than the next question, since both are on connections of their
// own. Where there is no room for the next guess it waits for that report, and where
// none can wait it is refused.
func TestALateReportIsWaitedFor(t *testing.T) {
	u := newWorld(t, func(c *Config) { c.Waiting.Max = 20 * time.Second }).unhurried()
	for i := range 9 {
		u.fail(bot, alice, fmt.Sprint("guess ", i))
	}
	a := u.scram(bot, alice)
	u.want(u.ask(a), Tarpit, RuleClientScore)
	answer := make(chan Verdict, 2)
	for range 2 {
		go func() { answer <- u.ask(a) }()
	}
	for deadline := time.Now().Add(10 * time.Second); u.waiters() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the next guess does not wait")
		}
	}
	u.want(u.ask(a), Refuse, RuleInFlight)
	u.report(a, score.Failure)
	u.count()
	for range 2 {
		u.want(<-answer, Refuse, RuleClientScore)
	}
	for range 3 {
		u.report(a, score.Refused)
	}
	u.count()
	if s := u.ask(u.scram(bot, alice)).Standing.Client; s.InFlight != 0 || s.Score < 10*score.Point {
		t.Errorf("%d points, and %d in flight", s.Score, s.InFlight)
	}
}

// Where there is room for both, each has its place, and each report settles one.
func TestALateReportSettlesTheGuessBefore(t *testing.T) {
	u := newWorld(t, func(c *Config) { c.Waiting.Max = 0 }).unhurried()
	a := u.scram(bot, alice)
	for i, want := range []score.Milli{2, 4, 3, 2} {
		if i < 2 {
			u.ask(a)
		} else {
			u.report(a, score.Failure)
			u.count()
		}
		s := u.look(bot, alice).Client
		if got := s.Score + s.InFlight; got != want*score.Point {
			t.Errorf("step %d: %d points, and %d in flight", i, s.Score, s.InFlight)
		}
	}
}

// Who is refused because others are under way has no place, whatever is asked next in
// his session before that is reported.
func TestALateReportOfARefusalSettlesNothing(t *testing.T) {
	u := newWorld(t, func(c *Config) { c.Waiting.Max = 0 }).unhurried()
	for i := range 8 {
		u.fail(bot, alice, fmt.Sprint("guess ", i))
	}
	other, a := u.scram(bot, alice), u.scram(bot, alice)
	u.want(u.ask(other), Tarpit, RuleClientScore)
	u.want(u.ask(a), Refuse, RuleInFlight)
	u.report(other, score.Ignored)
	u.count()
	u.want(u.ask(a), Tarpit, RuleClientScore)
	u.report(a, score.Refused) // of the first
	u.count()
	u.want(u.ask(u.scram(bot, alice)), Refuse, RuleInFlight)
	u.report(a, score.Failure)
	u.count()
	if s := u.ask(u.scram(bot, alice)).Standing.Client; s.Score != 9*score.Point {
		t.Errorf("%d points", s.Score)
	}
}

// A report that comes twice costs more, and never makes room.
func TestAReportThatComesTwiceMakesNoRoom(t *testing.T) {
	u := newWorld(t, func(c *Config) { c.Waiting.Max = 0 }).unhurried()
	verified := 0
	for range 20 {
		a := u.scram(bot, alice)
		for range 2 {
			if u.ask(a).Action == Refuse {
				u.report(a, score.Refused)
				continue
			}
			verified++
			u.report(a, score.Failure)
			u.report(a, score.Failure)
		}
		u.count()
	}
	if verified > 10 {
		t.Errorf("%d were verified", verified)
	}
}

// Dovecot's reports are lost, or a client gives up before it has said all: what was
// asked about is forgotten when its place has lapsed.
func TestAGuessThatNobodyReportsIsForgotten(t *testing.T) {
	u := newWorld(t, nil).unhurried()
	a := u.scram(bot, alice)
	u.ask(a)
	for range 3 {
		u.Advance(placeLife + time.Second)
		u.ask(a)
		u.report(a, score.Failure)
		u.count()
	}
	// The one that lapsed counts only where Dovecot reports at all, which it had not yet.
	if s := u.tell(u.scram(bot, bob), score.Ignored).Standing.Client; s.InFlight != 0 || s.Score > 3*score.Point {
		t.Errorf("%d points, and %d in flight", s.Score, s.InFlight)
	}
}

// What is remembered of sessions is bounded, and covers whatever is queued.
func TestSessionsAreForgotten(t *testing.T) {
	var s guesses
	now := time.Unix(1_800_000_000, 0)
	s.ask(1, now)
	s.end(1, score.Failure, now)
	for i := range uint64(queueSize + batchSize - 1) {
		s.end(2*i+3, score.Failure, now)
	}
	if n, _ := s.ask(1, now); n != 1 {
		t.Error("a session is forgotten while its report may be queued")
	}
	for i := range uint64(5 * recentSize) {
		s.ask(2*i+3, now)
	}
	if n := len(s.now) + len(s.old); n > 2*recentSize {
		t.Errorf("%d sessions are remembered", n)
	}
	if n, _ := s.ask(1, now); n != 0 {
		t.Error("an old session is remembered")
	}
}

// Where a hash tells passwords apart nothing is kept of sessions, and nothing is
// allocated to find that out.
func TestSessionsMatterOnlyWithoutAHash(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.attempt(bot, alice, "x"), w.scram(bot, alice)
	b.Session = ""
	for _, a := range []Attempt{a, b} {
		w.ask(a)
		w.tell(a, score.Failure)
	}
	if n := len(w.guard.guesses.now); n != 0 {
		t.Errorf("%d sessions are remembered", n)
	}
	b.Session = "session"
	for name, a := range map[string]Attempt{"with a hash": a, "without": b} {
		a.Outcome = score.Failure
		if n := testing.AllocsPerRun(100, func() { w.guard.arrived(&a) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
