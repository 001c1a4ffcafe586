package notify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// kinds lists what was told.
func kinds(bodies []body) []Kind {
	var all []Kind
	for _, b := range bodies {
		for _, n := range b.News {
			all = append(all, n.Kind)
		}
	}
	slices.Sort(all)
	return all
}

// find returns the one of a kind.
func find(t *testing.T, bodies []body, k Kind) (body, entry) {
	t.Helper()
	for _, b := range bodies {
		for _, n := range b.News {
			if n.Kind == k {
				return b, n
			}
		}
	}
	t.Fatalf("no %s among %v", k, kinds(bodies))
	return body{}, entry{}
}

func TestABanIsTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	for range 30 {
		w.tell(bot, alice, score.Failure)
	}
	b, n := find(t, r.wait(1), Ban)
	if b.Version != 1 || b.Host != "mx1" || b.ID == "" || b.Title != "saslguard on mx1: banned "+bot {
		t.Errorf("%+v", b)
	}
	if n.Client != bot+"/32" || n.Ban == nil || n.Ban.Times != 1 || n.Ban.Until == nil || n.Ban.Until.Sub(n.Ban.Since) != time.Hour || n.Ban.Rule != "client-score" {
		t.Errorf("%+v %+v", n, n.Ban)
	}
	for _, want := range []string{"Banned 198.51.100.7\n", "Why: the client has 20.0 points; accounts: 1\n", "From: DE, 198.51.100.7 ?b?Example?/b?\n",
		"Until: 2026-11-22T13:00:00Z\n", "  saslguard explain 198.51.100.7\n", "  saslguard unban 198.51.100.7/32\n"} {
		if !strings.Contains(b.Text, want) {
			t.Errorf("%q is not in\n%s", want, b.Text)
		}
	}
}

// Bans of other hosts and of operators come by the ledger. Who made them tells.
func TestTheBansOfOthersAreNotTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	w.put(store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix("203.0.113.1/32"), By: "mx2", Reason: "theirs"})
	w.put(store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("203.0.113.2/32"), By: "jane", Reason: "hers"})
	for range 30 {
		w.tell(bot, alice, score.Failure)
	}
	if _, n := find(t, r.wait(1), Ban); n.Client != bot+"/32" {
		t.Errorf("told of %s", n.Client)
	}
}

// An operator's own ban is told by the host on which he made it, where that is wanted.
func TestOperatorsBans(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		r := newReceiver(t, nil)
		c := r.config()
		c.Operators = wanted
		w := newWorld(t, c, true)
		w.notifier.Operator(store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("203.0.113.0/24"), By: "jane", Reason: "leaked\x1b[31m list"})
		if !wanted {
			w.notifier.Observe(guard.Event{Kind: guard.Braked, At: w.now()})
			find(t, r.wait(1), Brake)
			continue
		}
		b, n := find(t, r.wait(1), Ban)
		if n.Client != "203.0.113.0/24" || !strings.Contains(b.Text, "by jane: leaked") || strings.Contains(b.Text, "\x1b") || !strings.Contains(b.Text, "Until: for good") || !strings.Contains(b.Text, "saslguard unban 203.0.113.0/24") {
			t.Errorf("%+v", b)
		}
	}
	it := put(News{Kind: Ban, Account: "alice@example.org", Entry: &store.Entry{}}, false)
	if it.title != "blocked account alice@example.org" || len(it.command) != 1 || it.command[0] != "saslguard explain alice@example.org" {
		t.Errorf("%+v", it)
	}
	if it := put(News{Kind: Ban, Account: "alice@example.org", Entry: &store.Entry{}}, true); strings.Contains(it.title, "alice") || len(it.command) > 0 {
		t.Errorf("hidden: %+v", it)
	}
}

func TestObservedBansAreToldWhereAskedFor(t *testing.T) {
	for _, observed := range []bool{true, false} {
		r := newReceiver(t, nil)
		c := r.config()
		c.Observed = observed
		w := newWorld(t, c, false)
		for range 30 {
			w.tell(bot, alice, score.Failure)
		}
		if observed {
			if b, n := find(t, r.wait(1), Ban); b.Title != "saslguard on mx1: would ban "+bot || !n.Ban.Observed {
				t.Errorf("%+v", b)
			}
			continue
		}
		// A brake is told after it, by the same queue.
		w.notifier.Observe(guard.Event{Kind: guard.Braked, At: w.now()})
		find(t, r.wait(1), Brake)
	}
}

// A reload changes what is told and to whom; a wrong one changes nothing.
func TestReload(t *testing.T) {
	before, after := newReceiver(t, nil), newReceiver(t, nil)
	w := newWorld(t, before.config(), true)
	w.notifier.Tell(News{Kind: Brake, At: w.now(), Title: "before"})
	before.wait(1)
	bad := after.config()
	bad.URLsFile = "/nonexistent"
	if err := w.notifier.Reload(bad); err == nil {
		t.Error("a file that is not there is taken")
	}
	if err := w.notifier.Reload(after.config()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w.notifier.Tell(News{Kind: Store, At: w.now(), Title: "after"})
		after.mu.Lock()
		told := len(after.bodies)
		after.mu.Unlock()
		if told > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the new receiver is told nothing")
		}
	}
}

// An account that is guessed at from many clients, none of which reaches anything.
func TestAnAttackOnAnAccountIsToldOnce(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	for i := range 60 {
		w.tell(fmt.Sprintf("198.51.%d.1", i), alice, score.Failure)
	}
	b, n := find(t, r.wait(1), Attack)
	if n.Account != alice || !strings.Contains(n.Why, "20 clients") || !strings.Contains(b.Text, "saslguard explain "+alice+"\n") {
		t.Errorf("%+v", b)
	}
	w.advance(3 * time.Hour) // below the score, and over it again, but told lately
	for i := range 60 {
		w.tell(fmt.Sprintf("203.0.%d.1", i), alice, score.Failure)
	}
	w.tell(home, "trap", score.Failure)
	r.wait(1)
}

func TestASprayAndItsSuccessAreTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), false)
	for i := range 5 {
		w.tell(bot, fmt.Sprintf("user%d@example.org", i), score.Failure)
	}
	if _, n := find(t, r.wait(1), Spray); n.Client != bot+"/32" || !strings.Contains(n.Why, "5 accounts") {
		t.Errorf("%+v", n)
	}
	w.tell(bot, alice, score.Success)
	b, n := find(t, r.wait(2), Compromised)
	if n.Account != alice || !strings.Contains(n.Why, "has tried 5 other accounts") || !strings.Contains(b.Text, "  saslguard forget "+alice+"\n") {
		t.Errorf("%+v\n%s", n, b.Text)
	}
}

func TestAGuessedPasswordIsTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	w.tell(home, alice, score.Success)
	for range 6 {
		w.tell(home, alice, score.Failure) // familiar: its owner
	}
	w.tell(home, alice, score.Success)
	for range 5 {
		w.tell(bot, alice, score.Failure) // one too few
	}
	w.tell(bot, alice, score.Success)
	const other = "203.0.113.9"
	for range 6 {
		w.tell(other, "bob", score.Failure)
	}
	w.tell(other, "bob", score.Success)
	_, n := find(t, r.wait(1), Compromised)
	if n.Account != "bob" || n.Client != other+"/32" || !strings.Contains(n.Why, "failed 6 times") {
		t.Errorf("%+v", n)
	}
}

func TestASuccessOfABannedClientIsTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), false)
	w.put(store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("203.0.113.0/24"), By: "jane", Reason: "bad *hosts*"})
	for deadline := time.Now().Add(10 * time.Second); ; {
		w.tell("203.0.113.5", alice, score.Success) // once the guard has heard of the ban
		r.mu.Lock()
		told := len(r.bodies)
		r.mu.Unlock()
		if told > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not told")
		}
	}
	_, n := find(t, r.wait(1), Compromised)
	if n.Account != alice || !strings.Contains(n.Why, "the client is banned (bad ?hosts?)") {
		t.Errorf("%+v", n)
	}
}

func TestTheBrakeIsTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	for i := range 2 {
		w.tell(fmt.Sprintf("192.0.%d.1", i+2), fmt.Sprint("user", i), score.Success)
	}
	for range 2 {
		for i := range 2 {
			w.tell(fmt.Sprintf("192.0.%d.1", i+2), fmt.Sprint("user", i), score.Failure)
		}
	}
	if b, _ := find(t, r.wait(1), Brake); !strings.Contains(b.Text, "after 10m0s") {
		t.Error(b.Text)
	}
}

// What happened long ago is no news: a log that is read late, a report out of a queue.
func TestWhatIsOldIsNotTold(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	w.notifier.Tell(News{Kind: Store, At: w.now().Add(-6 * time.Minute), Title: "long ago"})
	w.notifier.Tell(News{Kind: Store, At: w.now().Add(6 * time.Minute), Title: "not yet"})
	w.notifier.Tell(News{Kind: Store, At: w.now(), Title: "now"})
	if b := r.wait(1); b[0].News[0].Title != "now" {
		t.Errorf("%+v", b)
	}
	if n := testutil.ToFloat64(w.notifier.metrics.found.WithLabelValues("store", resultOld)); n != 2 {
		t.Errorf("%v were old", n)
	}
}

func TestManyBansAreADigest(t *testing.T) {
	r := newReceiver(t, nil)
	w := newWorld(t, r.config(), true)
	for i := range 30 {
		for range 20 {
			w.tell(fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("user%d", i), score.Failure)
		}
	}
	r.wait(1)
	counted := w.notifier.metrics.found.WithLabelValues("ban", resultDigest)
	for deadline := time.Now().Add(10 * time.Second); testutil.ToFloat64(counted) < 29 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	w.advance(time.Hour)
	w.notifier.Tell(News{Kind: Brake, At: w.now(), Title: "another kind is told at once"})
	bodies := r.wait(3)
	i := slices.IndexFunc(bodies, func(b body) bool { return len(b.News) > 1 })
	if i < 0 {
		t.Fatalf("no digest among %v", kinds(bodies))
	}
	if b := bodies[i]; len(b.News) != maxDigest || b.More != 9 || !strings.Contains(b.Title, "29 times: banned") || !strings.Contains(b.Text, "and 9 more.") {
		t.Errorf("%d news, %d more: %s", len(b.News), b.More, b.Title)
	}
}

func TestLoginsCanBeHidden(t *testing.T) {
	r := newReceiver(t, nil)
	c := r.config()
	c.HideLogins = true
	w := newWorld(t, c, true)
	for i := range 25 {
		w.tell(fmt.Sprintf("198.51.%d.1", i), alice, score.Failure)
	}
	b, n := find(t, r.wait(1), Attack)
	if n.Account != "" || strings.Contains(b.Text+b.Title+n.Title+strings.Join(n.Commands, " "), "alice") {
		t.Errorf("%+v", b)
	}
}

// What is known when it ends is told yet.
func TestStoppingTellsWhatWaits(t *testing.T) {
	r := newReceiver(t, nil)
	t.Run("stops", func(t *testing.T) {
		w := newWorld(t, r.config(), true)
		for i := range 3 {
			w.notifier.Tell(News{Kind: Brake, At: w.now(), Title: fmt.Sprint("number ", i)})
		}
		counted := w.notifier.metrics.found.WithLabelValues("brake", resultDigest)
		for deadline := time.Now().Add(10 * time.Second); testutil.ToFloat64(counted) < 2 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
	})
	if b := r.wait(2); len(b[1].News) != 2 {
		t.Errorf("%+v", b)
	}
}
