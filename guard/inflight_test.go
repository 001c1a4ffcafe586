package guard

import (
	"fmt"
	"testing"

	"github.com/saslguard/saslguard/score"
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
