package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

const (
	alice   = "alice@example.org"
	bob     = "bob@example.org"
	bot     = "192.0.2.66"
	home    = "198.51.100.7"
	holiday = "203.0.113.9"
)

func TestAGuesserMeetsTheTiersInOrder(t *testing.T) {
	w := newWorld(t, nil)
	var got []Action
	for i := range 25 {
		got = append(got, w.fail(bot, alice, fmt.Sprint("guess", i)).Action)
	}
	for i, a := range got {
		want := Pass
		switch {
		case i >= 10:
			want = Refuse
		case i >= 3:
			want = Tarpit
		}
		// Only two of a client are held at once, and this clock stands still.
		if a != want && !(want == Tarpit && i >= 5 && a == Pass) {
			t.Errorf("guess %d: %s, want %s", i+1, a, want)
		}
	}
	if bans := w.bans(); len(bans) != 1 || bans[0].Prefix.String() != bot+"/32" || bans[0].By != "test" || bans[0].Times != 1 {
		t.Errorf("bans: %+v", bans)
	}
	w.want(w.ask(w.attempt(bot, bob, "x")), Refuse, RuleBan)
	w.want(w.ask(w.attempt(home, bob, "x")), Pass, RuleNone)
}

func TestASlowBurstGetsNoGuessMore(t *testing.T) {
	w := newWorld(t, nil)
	verified := 0
	for i := range 40 {
		if w.fail(bot, alice, fmt.Sprint("guess", i)).Action != Refuse {
			verified++
		}
		w.Advance(5 * time.Second)
	}
	if verified != 10 {
		t.Errorf("%d guesses verified within minutes", verified)
	}
}

func TestTheDelayGrowsWithTheScore(t *testing.T) {
	w := newWorld(t, nil)
	var last time.Duration
	for i := range 10 {
		v := w.fail(bot, alice, fmt.Sprint("guess", i))
		if v.Action == Tarpit && (v.Delay < last || v.Delay < time.Second || v.Delay > 5*time.Second || v.Delay%time.Second != 0) {
			t.Errorf("guess %d: %s after %s", i+1, v.Delay, last)
		}
		last = v.Delay
		w.Advance(10 * time.Second)
	}
	if last < 4*time.Second {
		t.Errorf("just below the refuse score the delay is %s", last)
	}
	a := w.attempt("192.0.2.67", alice, "x")
	a.Service = "smtp"
	for i := range 9 {
		w.fail("192.0.2.67", alice, fmt.Sprint(i))
		w.Advance(10 * time.Second)
	}
	if v := w.ask(a); v.Action != Tarpit || v.Delay > 4*time.Second {
		t.Errorf("smtp is delayed by %s", v.Delay)
	}
}

func TestAnOldPasswordRepeatedAllDayRefusesNobody(t *testing.T) {
	w := newWorld(t, nil)
	w.familiar(home, alice, "summer")
	w.succeed(home, alice, "autumn")
	for range 24 * 12 {
		if v := w.fail(home, alice, "summer"); v.Action != Pass {
			t.Fatalf("%s: %s", v.Action, v.Reason())
		}
		w.Advance(5 * time.Minute)
	}
	// A phone on the road, whose network nobody knows.
	for range 100 {
		if v := w.fail(holiday, alice, "summer"); v.Action != Pass {
			t.Fatalf("%s: %s", v.Action, v.Reason())
		}
	}
	// A wrong password that was never right is one guess, however often.
	for range 100 {
		if v := w.fail("203.0.113.77", alice, "sumer"); v.Action != Pass {
			t.Fatalf("%s: %s", v.Action, v.Reason())
		}
	}
}

func TestChallengeMechanismsHaveNoRepeats(t *testing.T) {
	w := newWorld(t, nil)
	a := w.attempt(bot, alice, "")
	a.Mechanism = "CRAM-MD5"
	verified := 0
	for range 30 {
		a.Session = fmt.Sprint(verified)
		if w.ask(a).Action != Refuse {
			verified++
			w.tell(a, score.Failure)
		}
	}
	if verified != 10 {
		t.Errorf("%d guesses with a constant hash were verified", verified)
	}
}

func TestSecrets(t *testing.T) {
	for _, c := range []struct {
		mech, hash   string
		none, looked bool
		want         score.Secret
	}{
		{"PLAIN", "0ccf", false, false, score.Sure},
		{"login", "0ccf", false, false, score.Sure},
		{"PLAIN", "", false, false, score.None},
		{"PLAIN", "0ccf", true, true, score.None},
		{"", "0ccf", false, false, score.Unsure},
		{"", "0ccf", false, true, score.Sure},
		{"", "0ccf", true, true, score.None},
		{"CRAM-MD5", "0ccf", false, false, score.None},
		{"SCRAM-SHA-256", "0ccf", false, true, score.None},
		{"xoauth2", "0ccf", false, false, score.Rotates},
		{"OAUTHBEARER", "0ccf", false, false, score.Rotates},
		{"something new", "0ccf", false, false, score.None},
	} {
		a := Attempt{Mechanism: c.mech, Hash: c.hash, NoSecret: c.none, HashChecked: c.looked}
		if got := secretKind(&a); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestARefusedGuesserIsBannedAndAPatientOwnerIsNot(t *testing.T) {
	w := newWorld(t, nil)
	w.guess(bot, alice, 10)
	for range 500 { // the same password again and again
		w.want(w.fail(bot, alice, "right"), Refuse, RuleClientScore)
	}
	if len(w.bans()) != 0 {
		t.Error("banned for reconnecting")
	}
	w.guess(bot, bob, 12)
	if len(w.bans()) != 1 {
		t.Error("persistence does not lead to the ban")
	}
}

func TestASuccessForgivesWhatTheClientOwesOnTheAccount(t *testing.T) {
	w := newWorld(t, nil)
	w.guess(home, alice, 2)
	w.succeed(home, alice, "right")
	if got := w.ask(w.attempt(home, bob, "x")).Standing.Client.Score; got != 0 {
		t.Errorf("%d is left", got)
	}
	w.guess(bot, bob, 2)
	w.succeed(bot, "own@example.org", "own")
	if got := w.ask(w.attempt(bot, bob, "x")).Standing.Client.Score; got != 2*score.Point {
		t.Errorf("the attacker's own account left him %d", got)
	}
}

func TestAnOfficeGoesOnWhileAGuesserSitsInIt(t *testing.T) {
	w := newWorld(t, nil)
	office := home
	for i := range 5 {
		w.familiar(office, fmt.Sprintf("user%d@example.org", i), "right")
	}
	w.guess(office, "boss@example.org", 40)
	if len(w.bans()) != 0 {
		t.Fatal("the office is banned")
	}
	w.want(w.fail(office, "boss@example.org", "one more"), Refuse, RuleClientScore)
	w.want(w.succeed(office, "user3@example.org", "right"), Pass, RuleNone)
	// With a password that nobody knows yet, too: it was changed.
	w.want(w.succeed(office, "user4@example.org", "changed"), Pass, RuleNone)
	// Postfix asks before it knows who: it must let the office through.
	w.Advance(10 * time.Second)
	w.want(w.guard.Check(t.Context(), &Attempt{Face: Postfix, Client: netip.MustParseAddr(office)}), Tarpit, RuleClientScore)
	if w.logs.FilterMessageSnippet("not banned").Len() == 0 {
		t.Error("nobody was told")
	}
}

func TestAFamiliarPairHasABudgetOfItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.familiar(home, alice, "right")
	if n := w.guess(home, alice, 30); n != 10 {
		t.Errorf("%d guesses verified", n)
	}
	// The network is one budget, whoever in it guesses.
	if n := w.guess("198.51.100.200", alice, 10); n != 0 {
		t.Errorf("%d guesses verified from the neighbour", n)
	}
	w2 := newWorld(t, nil)
	w2.familiar(home, alice, "right")
	w2.guess("198.51.100.200", alice, 30)
	w2.want(w2.succeed(home, alice, "right"), Pass, RuleNone)
}

func TestAnAccountUnderDistributedAttackLetsItsOwnerIn(t *testing.T) {
	w := newWorld(t, nil)
	w.familiar(home, alice, "right")
	verified := 0
	for i := range 200 {
		client := fmt.Sprintf("100.%d.%d.1", 128+i/100, i%100)
		if w.fail(client, alice, fmt.Sprint("guess", i)).Action != Refuse {
			verified++
		}
	}
	if verified != 20 {
		t.Errorf("the botnet verified %d guesses", verified)
	}
	w.want(w.fail("192.0.2.200", alice, "guess"), Refuse, RuleAccountScore)
	w.want(w.succeed(home, alice, "right"), Pass, RuleNone)
	w.want(w.succeed(holiday, alice, "right"), Pass, RuleNone)
	cram := w.attempt("192.0.2.201", alice, "")
	cram.Mechanism = "CRAM-MD5"
	w.want(w.ask(cram), Tarpit, RuleAccountScore)
	w.want(w.succeed("192.0.2.202", bob, "any"), Pass, RuleNone)
}

func TestTheWholeNetworkIsTarpitted(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 20 {
		w.fail(fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("u%d@example.org", i), "x")
	}
	w.want(w.ask(w.attempt("192.0.2.200", bob, "x")), Tarpit, RuleNetworkScore)
}

func TestTheNetworkCanBeRefusedAndBannedWhenTold(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Network.Refuse, c.Network.Ban = 30, 40 })
	for i := range 50 {
		w.fail(fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("u%d@example.org", i), "x")
	}
	w.want(w.ask(w.attempt("192.0.2.200", bob, "x")), Refuse, RuleNetworkScore)
	for i := range 50 {
		a := w.attempt(fmt.Sprintf("192.0.2.%d", i+100), fmt.Sprintf("v%d@example.org", i), "x")
		w.tell(a, score.Failure)
	}
	if b := w.bans(); len(b) != 1 || b[0].Prefix.String() != "192.0.2.0/24" {
		t.Errorf("bans: %+v", b)
	}
}

func TestATrapAccountIsABan(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.TrapAccounts, c.DefaultDomain = []string{"Admin"}, "example.org" })
	w.want(w.fail(bot, "admin", "x"), Pass, RuleNone)
	if b := w.bans(); len(b) != 1 || b[0].Rule != string(RuleTrap) {
		t.Errorf("bans: %+v", b)
	}
	w.want(w.ask(w.attempt(bot, bob, "x")), Refuse, RuleBan)
}

func TestInternalFailuresCountNothing(t *testing.T) {
	w := newWorld(t, nil)
	for range 50 {
		a := w.attempt(home, alice, "right")
		w.want(w.ask(a), Pass, RuleNone)
		w.tell(a, score.Ignored)
	}
	if got := w.ask(w.attempt(home, alice, "right")).Standing; got.Client.Score != 0 || got.Familiar {
		t.Errorf("%+v", got)
	}
}

func TestObserveRefusesNothingAndRecordsAll(t *testing.T) {
	w := worldOf(t, testConfig(), false)
	would := map[Action]int{}
	for i := range 40 {
		v := w.fail(bot, alice, fmt.Sprint("guess", i))
		if v.Action != Pass {
			t.Fatalf("guess %d: %s", i, v.Action)
		}
		would[v.Would]++
	}
	if would[Pass] != 3 || would[Tarpit] != 7 || would[Refuse] != 30 {
		t.Errorf("would: %v", would)
	}
	if b := w.bans(); len(b) != 1 || !b[0].Observed {
		t.Fatalf("bans: %+v", b)
	}
	r, err := NewRules(testConfig(), true)
	if err != nil {
		t.Fatal(err)
	}
	w.guard.Reload(r)
	for deadline := time.Now().Add(10 * time.Second); len(w.bans()) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("observed bans after enforcing: %+v", w.bans())
		}
	}
	w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleClientScore)
}

func TestPrecedence(t *testing.T) {
	put := func(w *world, e store.Entry) {
		t.Helper()
		if e.Reason == "" {
			e.Reason = "test"
		}
		if _, err := w.store.Put(w.Context(), e); err != nil {
			t.Fatal(err)
		}
		w.follow()
	}
	prefix := netip.MustParsePrefix
	t.Run("automatic ban", func(t *testing.T) {
		w := newWorld(t, nil)
		put(w, store.Entry{Kind: store.AutomaticBan, Prefix: prefix("192.0.2.0/24")})
		w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleBan)
		put(w, store.Entry{Kind: store.Allow, Prefix: prefix(bot + "/32")})
		w.want(w.ask(w.attempt(bot, alice, "x")), Pass, RuleAllowed)
		put(w, store.Entry{Kind: store.OperatorBan, Prefix: prefix("192.0.2.0/25"), By: "root"})
		w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleOperatorBan)
	})
	t.Run("account block", func(t *testing.T) {
		w := newWorld(t, nil)
		put(w, store.Entry{Kind: store.OperatorBan, Account: alice, By: "root"})
		w.want(w.ask(w.attempt("127.0.0.1", "Alice@Example.org", "x")), Refuse, RuleAccountBlock)
		w.want(w.ask(w.attempt(home, bob, "x")), Pass, RuleNone)
	})
	t.Run("observing refuses nothing", func(t *testing.T) {
		w := worldOf(t, testConfig(), false)
		put(w, store.Entry{Kind: store.OperatorBan, Prefix: prefix("192.0.2.0/24"), By: "root"})
		v := w.ask(w.attempt(bot, alice, "x"))
		w.want(v, Pass, RuleOperatorBan)
		if v.Would != Refuse {
			t.Errorf("would %s", v.Would)
		}
	})
	t.Run("an expired ban hides no wider one", func(t *testing.T) {
		w := newWorld(t, nil)
		put(w, store.Entry{Kind: store.AutomaticBan, Prefix: prefix("192.0.2.0/24")})
		put(w, store.Entry{Kind: store.AutomaticBan, Prefix: prefix(bot + "/32"), Until: w.Now().Add(time.Minute)})
		w.Advance(2 * time.Minute)
		w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleBan)
	})
	t.Run("an observed ban hides no enforced one", func(t *testing.T) {
		w := newWorld(t, nil)
		put(w, store.Entry{Kind: store.AutomaticBan, Prefix: prefix(bot + "/32"), Observed: true})
		w.want(w.ask(w.attempt(bot, alice, "x")), Pass, RuleNone)
		put(w, store.Entry{Kind: store.AutomaticBan, Prefix: prefix("192.0.2.0/24")})
		w.want(w.ask(w.attempt(bot, alice, "x")), Refuse, RuleBan)
	})
}

func TestTheAllowlistExemptsFromItsOwnTiersOnly(t *testing.T) {
	t.Run("a client, not its accounts", func(t *testing.T) {
		w := newWorld(t, nil)
		if n := w.guess("127.0.0.1", alice, 40); n != 20 {
			t.Errorf("%d guesses through the webmail were verified", n)
		}
		w.want(w.fail("127.0.0.1", alice, "x"), Refuse, RuleAccountScore)
		w.want(w.succeed("127.0.0.1", bob, "right"), Pass, RuleAllowed)
		if len(w.bans()) != 0 {
			t.Error("the webmail is banned")
		}
	})
	t.Run("an account, not its clients", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.AllowAccounts = []string{"Alice@example.org"} })
		if n := w.guess(bot, alice, 30); n != 10 {
			t.Errorf("%d guesses verified", n)
		}
		for i := range 50 {
			w.want(w.fail(fmt.Sprintf("100.130.%d.1", i), alice, fmt.Sprint(i)), Pass, RuleNone)
		}
	})
}

func TestOnAnMXOnlyOperatorsBan(t *testing.T) {
	w := newWorld(t, nil)
	w.guess(bot, alice, 30)
	mx := Attempt{Face: Postfix, Service: "smtp", Scope: OperatorVerdicts, Client: netip.MustParseAddr(bot)}
	w.want(w.guard.Check(t.Context(), &mx), Pass, RuleNone)
	mx.Scope = AllVerdicts
	w.want(w.guard.Check(t.Context(), &mx), Refuse, RuleBan)
	if _, err := w.store.Put(t.Context(), store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Reason: "spam", By: "root"}); err != nil {
		t.Fatal(err)
	}
	w.follow()
	mx.Scope = OperatorVerdicts
	w.want(w.guard.Check(t.Context(), &mx), Refuse, RuleOperatorBan)
}

func TestPrivateAndOwnAddressesAreRefusedNotBanned(t *testing.T) {
	for _, client := range []string{"10.1.2.3", "192.168.1.1", "169.254.1.1", "100.64.1.1", "fe80::1", "fd00::1", "203.0.113.250"} {
		w := newWorld(t, nil)
		if n := w.guess(client, alice, 60); n != 10 {
			t.Errorf("%s: %d guesses verified", client, n)
		}
		if b := w.bans(); len(b) != 0 {
			t.Errorf("%s is banned", client)
		}
		if w.logs.FilterMessageSnippet("not banned").Len() == 0 {
			t.Errorf("%s: nobody was told", client)
		}
	}
	w := newWorld(t, func(c *Config) { c.Ban.Private = true })
	w.guess("10.1.2.3", alice, 60)
	if len(w.bans()) != 1 {
		t.Error("private addresses are not banned when told")
	}
}
