package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// challenged is a login by Postfix with a mechanism that sends no password: nothing
// tells it from others of the same client and account.
func (w *world) challenged(client, login string) Attempt {
	a := w.attempt(client, login, "the hash of no password")
	a.Service, a.Session, a.Mechanism = "smtp", "", "SCRAM-SHA-256"
	a.NoSecret, a.HashChecked = true, true
	return a
}

// Of many SCRAM logins at once some are refused, and that is reported while the others
// are still being verified. Nobody gets the place of one of those for it.
func TestWhatIsRefusedGivesNobodysPlaceBack(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 0 })
	var underWay, turnedAway []Attempt
	for range 32 {
		a := w.challenged(bot, alice)
		if v := w.ask(a); v.Action == Refuse {
			w.want(v, Refuse, RuleInFlight)
			turnedAway = append(turnedAway, a)
		} else {
			underWay = append(underWay, a)
		}
	}
	for _, a := range turnedAway {
		w.tell(a, score.Refused)
	}
	if len(turnedAway) == 0 {
		t.Fatal("none was refused, so this shows nothing")
	}
	for range turnedAway {
		w.want(w.ask(w.challenged(bot, alice)), Refuse, RuleInFlight)
	}
	for _, a := range underWay {
		w.tell(a, score.Failure)
	}
	verified := len(underWay)
	for range 32 {
		a := w.challenged(bot, alice)
		if w.ask(a).Action == Refuse {
			w.tell(a, score.Refused)
			continue
		}
		w.tell(a, score.Failure)
		verified++
	}
	if verified != 10 {
		t.Errorf("%d were verified", verified)
	}
}

// What an attempt that is refused for its client's score settles is its own place, and
// it has none.
func TestARefusalForTheScoreSettlesNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 0; c.Network.Refuse = 30 })
	for i := range 40 {
		w.fail(fmt.Sprintf("192.0.2.%d", 100+i), fmt.Sprintf("user%d@example.org", i), "x")
	}
	a := w.challenged("192.0.2.9", alice)
	v := w.ask(a)
	w.want(v, Refuse, RuleNetworkScore)
	if n := v.Standing.Client.InFlight; n != 0 {
		t.Errorf("%d points are in flight for an attempt that its network's score refuses", n)
	}
	if added := w.tell(a, score.Refused).Standing.Client.Added; added != score.Point {
		t.Errorf("to be refused added %d", added)
	}
}

// Many guesses of one client at the same moment, at an account that a botnet attacks,
// learn no more than so many one after the other: the client's tarpit score bounds both.
func TestGuessesAtOnceDoNotLearnTheRightPassword(t *testing.T) {
	for name, attack := range map[string]func(w *world){
		"an account over its score": func(w *world) {
			for i := range 20 {
				w.fail(fmt.Sprintf("198.51.%d.1", i), alice, fmt.Sprint("guess ", i))
			}
		},
		"an account full of guesses": func(w *world) {
			for i := range 20 {
				w.ask(w.attempt(fmt.Sprintf("198.51.%d.1", i), alice, fmt.Sprint("guess ", i)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for others, want := range map[int]Action{0: Pass, 1: Pass, 3: Refuse, 9: Refuse, 60: Refuse} {
				w := newWorld(t, func(c *Config) { c.Waiting.Max = 0 })
				w.familiar(home, alice, "right")
				attack(w)
				const hotel = "192.0.2.77"
				var asked []Attempt
				for i := range others {
					a := w.attempt(hotel, alice, fmt.Sprint("another ", i))
					if v := w.ask(a); v.Action != Refuse {
						t.Errorf("a wrong password: %s by %q", v.Action, v.Rule)
					}
					asked = append(asked, a)
				}
				if v := w.ask(w.attempt(hotel, alice, "right")); v.Action != want {
					t.Errorf("after %d others at once the right password: %s by %q (%s)", others, v.Action, v.Rule, v.Reason())
				}
				for _, a := range asked {
					w.tell(a, score.Refused)
				}
				if len(w.bans()) > 0 {
					continue // they cost more than enough
				}
				// Each that could have told the right one has cost a point.
				if s := w.ask(w.attempt(hotel, bob, "x")).Standing.Client; s.Score < min(score.Milli(others), 3)*score.Point {
					t.Errorf("%d others at once cost %d", others, s.Score)
				}
			}
		})
	}
}

// Whoever finds the account full of guesses that are being verified waits for one of
// them, and is asked about again.
func TestAnAccountFullOfGuessesIsWaitedFor(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 20 * time.Second })
	var busy []Attempt
	for i := range 20 {
		a := w.attempt(fmt.Sprintf("198.51.%d.1", i), alice, fmt.Sprint("guess ", i))
		w.want(w.ask(a), Pass, RuleNone)
		busy = append(busy, a)
	}
	answer := make(chan Verdict, 1)
	go func() { answer <- w.ask(w.attempt(holiday, alice, "new")) }()
	for deadline := time.Now().Add(10 * time.Second); w.waiters() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
	w.tell(busy[0], score.Success)
	w.want(<-answer, Pass, RuleNone)
}

// Another host that shares the store settles a place: nobody here is woken, and whoever
// waits finds it in the end.
func TestWhatAnotherHostSettlesIsFound(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Waiting.Max = 2 * time.Second })
	for i := range 4 { // of 2, 3, 3 and 3 points
		w.want(w.ask(w.attempt(bot, fmt.Sprintf("user%d@example.org", i), "x")), Pass, RuleNone)
	}
	answer := make(chan Verdict, 1)
	go func() { answer <- w.ask(w.attempt(bot, alice, "x")) }()
	for deadline := time.Now().Add(10 * time.Second); w.waiters() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
	a := w.attempt(bot, "user0@example.org", "x")
	a.Session = "session-1" // as it was asked about first
	who := w.guard.identify(&a, w.guard.Rules())
	var op store.Op
	w.guard.fill(&op, &a, &who, w.guard.Rules())
	op.Verb, op.Outcome = store.Record, score.Ignored
	if err := w.store.Do(t.Context(), []store.Op{op}, make([]store.Standing, 1)); err != nil {
		t.Fatal(err)
	}
	w.want(<-answer, Pass, RuleNone)
}
