package admin

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// report has attempts reported, one by one.
func (w *world) report(as ...guard.Attempt) {
	w.Helper()
	for _, a := range as {
		a.Face, a.Service, a.Mechanism, a.HashChecked = guard.Dovecot, "imap", "PLAIN", true
		if err := w.guard.Apply(w.Context(), []guard.Attempt{a}, make([]guard.Verdict, 1)); err != nil {
			w.Fatal(err)
		}
	}
	w.follow()
}

// What each rule has added is what the score is made of.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	bot := netip.MustParseAddr("192.0.2.7")
	w.report(
		guard.Attempt{Client: bot, Login: "alice", Hash: "001", Outcome: score.Failure},
		guard.Attempt{Client: bot, Login: "alice", Hash: "002", Outcome: score.Failure},
		guard.Attempt{Client: bot, Login: "alice", Hash: "002", Outcome: score.Failure}, // again, and free
		guard.Attempt{Client: bot, Login: "nobody", Hash: "003", Outcome: score.UnknownAccount},
		guard.Attempt{Client: bot, Login: "bob", Hash: "004", Outcome: score.Refused},
	)
	x, err := w.client.Explain(t.Context(), api.ExplainQuery{Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	sum, rules := 0.0, map[string]float64{}
	for _, c := range x.Contributions {
		sum += c.Now
		rules[c.Rule] = math.Round(c.Earned)
	}
	if rules["points.failure"] != 3 || rules["points.unknown_account"] != 1 || rules["points.further_account"] != 1 || rules["refused"] != 2 {
		t.Errorf("contributions: %+v", x.Contributions)
	}
	if x.Subjects[0].Kind != "client" || math.Abs(x.Subjects[0].Points-sum) > 0.1 {
		t.Errorf("the score is %+v, the rules add up to %v", x.Subjects[0], sum)
	}
	if x.Next.Would != "tarpit" || x.Next.Action != "tarpit" || x.Next.Delay == 0 || x.Next.Rule != "client-score" || !strings.Contains(x.Next.Reason, "points") {
		t.Errorf("next: %+v", x.Next)
	}
	if n := len(x.Events.Events); n != 5 || x.Events.Events[0].Account != "alice@lab.test" || x.Events.Since == nil || x.Events.Shared {
		t.Errorf("%d events: %+v", n, x.Events)
	}
	if x, err := w.client.Explain(t.Context(), api.ExplainQuery{Account: "BOB", Limit: 1}); err != nil || x.Account != "bob@lab.test" || len(x.Events.Events) != 1 || len(x.Subjects) != 1 {
		t.Errorf("the account: %+v, %v", x, err)
	}
	if x, err := w.client.Explain(t.Context(), api.ExplainQuery{Address: "198.51.100.65"}); err != nil || !x.Configured || x.Next.Rule != "allowed" && x.Next.Would != "pass" {
		t.Errorf("on the allowlist of the configuration: %+v, %v", x, err)
	}
	w.report(guard.Attempt{Client: bot, Login: "trap", Hash: "009", Outcome: score.Failure})
	w.eventually(func() bool { _, ok := w.banned(bot); return ok })
	x, err = w.client.Explain(t.Context(), api.ExplainQuery{Address: "192.0.2.7"})
	if err != nil || x.Next.Would != "refuse" || len(x.Entries) != 1 || x.Entries[0].Rule != "trap-account" || x.Entries[0].Times != 1 {
		t.Errorf("after the trap: %+v, %v", x, err)
	}
	if x.Contributions[len(x.Contributions)-1].Rule != "trap_accounts" {
		t.Errorf("contributions: %+v", x.Contributions)
	}
	// They are gone with the score, and stay while it stays.
	n := len(x.Contributions)
	if _, err := w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.0/24", Seconds: 60}}}); err != nil {
		t.Fatal(err)
	}
	w.follow()
	for _, c := range []struct {
		in   api.RemoveRequest
		left int
	}{
		{api.RemoveRequest{Targets: []api.Target{{Prefix: "192.0.2.0/24"}}}, n},
		{api.RemoveRequest{Targets: []api.Target{{Prefix: "192.0.2.7"}}, KeepScore: true}, n},
		{api.RemoveRequest{Targets: []api.Target{{Prefix: "192.0.2.7"}}}, 0},
	} {
		if c.left == 0 {
			if _, err := w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.7", Seconds: 60}}}); err != nil {
				t.Fatal(err)
			}
			w.follow()
		}
		if out, err := w.client.Unban(t.Context(), c.in); err != nil || !out.Changes[0].Done {
			t.Fatalf("%+v: %+v, %v", c.in, out, err)
		}
		w.follow()
		if x, err = w.client.Explain(t.Context(), api.ExplainQuery{Address: "192.0.2.7"}); err != nil || len(x.Contributions) != c.left {
			t.Errorf("after %+v: %+v, %v", c.in, x.Contributions, err)
		}
	}
}

func (w *world) banned(a netip.Addr) (api.Entry, bool) {
	w.Helper()
	out, err := w.client.Bans(w.Context(), api.BansQuery{Containing: a.String()})
	if err != nil {
		w.Fatal(err)
	}
	if len(out.Entries) == 0 {
		return api.Entry{}, false
	}
	return out.Entries[0], true
}

func (w *world) eventually(done func() bool) {
	w.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatal("it does not come to that")
		}
	}
}

func TestReportAndStatus(t *testing.T) {
	w := newWorld(t)
	for i := range 6 { // one account from many clients, and many accounts from one
		w.report(
			guard.Attempt{Client: netip.AddrFrom4([4]byte{198, 51, byte(i), 1}), Login: "target", Hash: "001", Outcome: score.Failure},
			guard.Attempt{Client: netip.MustParseAddr("192.0.2.7"), Login: "user" + string(rune('a'+i)), Hash: "00" + string(rune('1'+i)), Outcome: score.Failure},
		)
	}
	w.report(guard.Attempt{Client: netip.MustParseAddr("203.0.113.9"), Login: "alice", Hash: "aaa", Outcome: score.Success})
	w.ban("10.9.8.7")
	out, err := w.client.Report(t.Context(), api.ReportQuery{Top: 3})
	if err != nil {
		t.Fatal(err)
	}
	if out.Total.Failed != 12 || out.Total.Succeeded != 1 || out.Total.Banned != 1 || len(out.Days) == 0 || out.Since == nil {
		t.Errorf("%+v", out)
	}
	if len(out.Clients) != 3 || out.Clients[0].Client != "192.0.2.7/32" || out.Clients[0].Failed != 6 || out.Accounts[0].Account != "target@lab.test" {
		t.Errorf("%+v %+v", out.Clients, out.Accounts)
	}
	if len(out.Spray) != 1 || out.Spray[0].Accounts != 6 || len(out.Distributed) != 1 || out.Distributed[0].Clients != 6 || len(out.Bans) != 1 {
		t.Errorf("%+v %+v %+v", out.Spray, out.Distributed, out.Bans)
	}
	s, err := w.client.Status(t.Context())
	if err != nil || s.Mode != "enforce" || s.Store != "memory" || s.Figures.Failed != 12 || s.Bans.Operator != 1 || s.Recent.Clients != 7 || len(s.Hosts) != 1 || s.Hosts[0].Lag != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A watch tells what is asked for, from then on.
func TestWatchingEvents(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, ended := make(chan api.Event, 20_000), make(chan error, 1)
	go func() {
		ended <- w.client.WatchEvents(ctx, api.EventsQuery{Within: "192.0.2.0/24", Kind: []string{"ban", "attempt"}}, func(e api.Event) error { got <- e; return nil })
	}()
	w.eventually(func() bool { // it follows when it is told of something
		w.log.Add(api.Event{At: time.Now(), Kind: "ban", Client: "192.0.2.99/32", Count: 1})
		select {
		case <-got:
			return true
		default:
			return false
		}
	})
	w.report(
		guard.Attempt{Client: netip.MustParseAddr("198.51.100.1"), Login: "alice", Hash: "001", Outcome: score.Failure},
		guard.Attempt{Client: netip.MustParseAddr("192.0.2.1"), Login: "bob", Hash: "001", Outcome: score.Failure},
	)
	w.ban("192.0.2.128/25")
	for _, want := range []string{"attempt bob@lab.test", "ban "} {
		select {
		case e := <-got:
			for e.Client == "192.0.2.99/32" {
				e = <-got
			}
			if string(e.Kind)+" "+e.Account != want {
				t.Errorf("%+v, want %s", e, want)
			}
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
	// As many watch as may, and no more.
	w.control.watchers.Store(maxWatchers)
	wantError(t, w.client.WatchEvents(t.Context(), api.EventsQuery{}, nil), api.Busy, "", "no more may")
	w.control.watchers.Store(1)
	cancel()
	<-ended
	h, err := w.client.Events(t.Context(), api.EventsQuery{Account: "bob", Limit: 10})
	if err != nil || len(h.Events) != 1 || h.Events[0].Outcome != "failure" {
		t.Errorf("%+v, %v", h, err)
	}
}
