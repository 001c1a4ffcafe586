package policy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
)

func TestVerdictsInPostfixWords(t *testing.T) {
	for _, test := range []struct {
		name    string
		verdict guard.Verdict
		want    string
		metric  string
	}{
		{"pass", guard.Verdict{}, declinedAnswer, "dunno"},
		{"refuse", guard.Verdict{Action: guard.Refuse, Would: guard.Refuse}, refusedAnswer, "refuse"},
		{"observed", guard.Verdict{Action: guard.Pass, Would: guard.Refuse}, declinedAnswer, "dunno"},
		{"tarpit", guard.Verdict{Action: guard.Tarpit, Delay: 3 * time.Second}, "action=sleep 3\n\n", "sleep"},
		{"odd delay", guard.Verdict{Action: guard.Tarpit, Delay: 2900 * time.Millisecond}, "action=sleep 2\n\n", "sleep"},
		{"no delay", guard.Verdict{Action: guard.Tarpit}, "action=sleep 1\n\n", "sleep"},
		{"negative delay", guard.Verdict{Action: guard.Tarpit, Delay: -time.Hour}, "action=sleep 1\n\n", "sleep"},
		{"huge delay", guard.Verdict{Action: guard.Tarpit, Delay: time.Hour}, "action=sleep 30\n\n", "sleep"},
		{"from the future", guard.Verdict{Action: 99}, declinedAnswer, "dunno"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, testConfig(), &fakeJudge{verdict: always(test.verdict)})
			begun := time.Now()
			conn := dial(t, "tcp", s.tcp)
			if got := conn.ask(t, connect()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if took := time.Since(begun); took > 900*time.Millisecond {
				t.Errorf("the answer itself was delayed by %v", took)
			}
			eventually(t, "the request is counted", func() bool {
				return s.metric(t, "requests_total{"+test.metric+"}") == 1 && s.metric(t, "answer_seconds") == 1
			})
		})
	}
}

// A tarpitted client sleeps once, however often Postfix asks about its mail.
func TestTarpitOncePerMail(t *testing.T) {
	tarpit := always(guard.Verdict{Action: guard.Tarpit, Delay: 2 * time.Second})
	const slept = "action=sleep 2\n\n"
	type step struct{ request, want string }
	old := func(state, instance string) string { // Postfix 2.x tells no port
		return question(state, "client_port=", "instance="+instance)
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"one session", []step{
			{connect(), slept}, {question("EHLO"), declinedAnswer}, {question("MAIL"), declinedAnswer},
			{question("RCPT", "instance=1.2"), declinedAnswer}, {question("DATA", "instance=1.2"), declinedAnswer},
		}},
		{"the next session of the same smtpd", []step{
			{connect(), slept}, {connect("client_port=40001"), slept}, {question("RCPT", "client_port=40001", "instance=1.2"), declinedAnswer},
		}},
		{"another client, the same port", []step{{connect(), slept}, {connect("client_address=192.0.2.5"), slept}}},
		{"four questions at RCPT", []step{
			{question("RCPT", "instance=1.2"), slept}, {question("RCPT", "instance=1.2"), declinedAnswer},
			{question("RCPT", "instance=1.2"), declinedAnswer}, {question("RCPT", "instance=1.2"), declinedAnswer},
		}},
		{"without ports", []step{
			{old("CONNECT", ""), slept}, {old("MAIL", ""), declinedAnswer}, {old("RCPT", "1.2"), declinedAnswer},
			{old("CONNECT", ""), slept}, {old("RCPT", "1.3"), declinedAnswer},
		}},
		{"without ports, mails", []step{
			{old("RCPT", "1.2"), slept}, {old("RCPT", "1.2"), declinedAnswer}, {old("RCPT", "1.3"), slept},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, testConfig(), &fakeJudge{verdict: tarpit})
			conn := dial(t, "unix", s.unix)
			for i, step := range test.steps {
				if got := conn.ask(t, step.request); got != step.want {
					t.Errorf("step %d: got %q, want %q", i, got, step.want)
				}
			}
		})
	}
}

// A login that succeeded is reported once, and only an operator's verdict is
// asked for from then on.
func TestAuthenticated(t *testing.T) {
	judge := &fakeJudge{}
	s := start(t, testConfig(), judge)
	conn := dial(t, "tcp", s.tcp)
	alice := []string{"sasl_username=alice", "sasl_method=PLAIN"}
	for _, request := range []string{
		connect(),
		question("MAIL", alice...),
		question("RCPT", append(alice, "instance=1.2")...),
		question("RCPT", append(alice, "instance=1.3")...), // the second mail of the session
		question("MAIL", append(alice, "client_port=40001")...),
		question("MAIL", "client_port=40001", "sasl_username=bob", "sasl_method=LOGIN"),
	} {
		if got := conn.ask(t, request); got != declinedAnswer {
			t.Errorf("got %q", got)
		}
	}
	asked, reports := judge.take()
	var logins []string
	for _, a := range reports {
		logins = append(logins, a.Login+" "+a.Mechanism)
		if a.Face != guard.Postfix || a.Service != "submission" || a.Client.String() != "192.0.2.4" {
			t.Errorf("reported %+v", a)
		}
	}
	if want := []string{"alice PLAIN", "alice PLAIN", "bob LOGIN"}; !slices.Equal(logins, want) {
		t.Errorf("reported %q, want %q", logins, want)
	}
	for i, a := range asked {
		if want := i > 0; (a.Scope == guard.OperatorVerdicts) != want || (a.Login != "") != want {
			t.Errorf("question %d: %+v", i, a)
		}
	}
}

func TestReload(t *testing.T) {
	judge := &fakeJudge{verdict: func(_ context.Context, a guard.Attempt) guard.Verdict {
		if a.Scope == guard.OperatorVerdicts {
			return guard.Verdict{}
		}
		return guard.Verdict{Action: guard.Refuse}
	}}
	s := start(t, testConfig(), judge)
	conn := dial(t, "tcp", s.tcp)
	if got := conn.ask(t, connect()); got != refusedAnswer {
		t.Errorf("before: %q", got)
	}
	cfg := testConfig()
	cfg.RefuseText = ""
	if err := s.Reload(cfg); err == nil || !strings.Contains(err.Error(), "refuse_text") {
		t.Errorf("a bad configuration: %v", err)
	}
	if got := conn.ask(t, connect()); got != refusedAnswer {
		t.Errorf("after a bad one: %q", got)
	}
	cfg.RefuseCode, cfg.RefuseText = 521, "5.7.1 Gone"
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got, want := conn.ask(t, connect()), "action=521 5.7.1 Gone\n\n"; got != want {
		t.Errorf("after: %q, want %q", got, want)
	}
	cfg.Contexts = []Context{{"submission", "operator"}}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got := conn.ask(t, connect()); got != declinedAnswer {
		t.Errorf("with another scope: %q", got)
	}
}
