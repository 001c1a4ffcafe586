package dovecotpolicy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

var outcomes = map[string]score.Outcome{
	"unknown": score.Unknown, "success": score.Success, "failure": score.Failure,
	"unknown_account": score.UnknownAccount, "refused": score.Refused, "ignored": score.Ignored,
}

// TestCases puts every case of testdata/dovecotpolicy to the answering.
func TestCases(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.About, func(t *testing.T) {
			judge := &fakeJudge{verdict: guard.Verdict{Action: guard.Refuse}}
			a, set := newTestAnswerer(t, testConfig(), judge)
			got := a.answer(set, &request{command: commandNamed(t, c.Command), body: []byte(c.body())}, time.Now())
			want := `{"status":0,"msg":""}`
			if c.Skipped == "" && c.Command == "allow" {
				want = `{"status":-1,"msg":"Too many failed logins. Try again later."}`
			}
			if got.code != http.StatusOK || string(got.body) != want {
				t.Errorf("answer %d %s, want %s", got.code, got.body, want)
			}
			for i, name := range skipNames {
				if n := testutil.ToFloat64(a.metrics.skipped[i]); (n == 1) != (name == c.Skipped) {
					t.Errorf("%v skipped for %s, want it for %q", n, name, c.Skipped)
				}
			}
			compare(t, &c, judge)
		})
	}
}

func compare(t *testing.T, c *testCase, judge *fakeJudge) {
	t.Helper()
	if c.Command == "allow" && len(judge.told) > 0 || c.Command == "report" && len(judge.asked) > 0 {
		t.Error("a question was taken for a report, or the other way round")
	}
	seen := judge.seen()
	if c.Attempt == nil {
		if len(seen) != 0 {
			t.Errorf("judged: %+v", seen)
		}
		return
	}
	outcome, ok := outcomes[c.Attempt.Outcome]
	if !ok {
		t.Fatalf("no such outcome: %q", c.Attempt.Outcome)
	}
	want := guard.Attempt{
		Face:    guard.Dovecot,
		Service: c.Attempt.Service, Client: netip.MustParseAddr(c.Attempt.Client),
		Login: c.Attempt.Login, Hash: c.Attempt.Hash, Mechanism: c.Attempt.Mechanism,
		Session: c.Attempt.Session, Outcome: outcome,
	}
	if len(seen) != 1 || seen[0] != want {
		t.Errorf("judged: %+v\nwant:   %+v", seen, want)
	}
}

func commandNamed(t *testing.T, name string) command {
	t.Helper()
	c, ok := commandOf([]byte("/?command=" + name))
	if !ok {
		t.Fatalf("no such command: %q", name)
	}
	return c
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		verdict guard.Verdict
		want    string
		counted answered
	}{
		{guard.Verdict{}, `{"status":0,"msg":""}`, passed},
		{guard.Verdict{Would: guard.Refuse}, `{"status":0,"msg":""}`, passed}, // observing
		{guard.Verdict{Action: guard.Tarpit, Delay: time.Second}, `{"status":1,"msg":""}`, tarpitted},
		{guard.Verdict{Action: guard.Tarpit, Delay: 5 * time.Second}, `{"status":5,"msg":""}`, tarpitted},
		{guard.Verdict{Action: guard.Tarpit, Delay: 30 * time.Second}, `{"status":30,"msg":""}`, tarpitted},
		{guard.Verdict{Action: guard.Tarpit, Delay: 45 * time.Second}, `{"status":45,"msg":""}`, tarpitted},
		{guard.Verdict{Action: guard.Tarpit}, `{"status":1,"msg":""}`, tarpitted},
		{guard.Verdict{Action: guard.Refuse}, `{"status":-1,"msg":"Too many failed logins. Try again later."}`, refused},
	} {
		a, set := newTestAnswerer(t, testConfig(), &fakeJudge{verdict: c.verdict})
		got := a.answer(set, &request{body: []byte(benchAllow)}, time.Now())
		if got.code != http.StatusOK || string(got.body) != c.want {
			t.Errorf("%+v: %d %s, want %s", c.verdict, got.code, got.body, c.want)
		}
		if testutil.ToFloat64(a.metrics.requests[allow][c.counted]) != 1 {
			t.Errorf("%+v was not counted", c.verdict)
		}
	}
}

func TestReportToAFullQueue(t *testing.T) {
	a, set := newTestAnswerer(t, testConfig(), &fakeJudge{full: true})
	got := a.answer(set, &request{command: report, body: []byte(benchReport)}, time.Now())
	if got.code != http.StatusOK || string(got.body) != `{"status":0,"msg":""}` {
		t.Errorf("answer %d %s", got.code, got.body)
	}
	if testutil.ToFloat64(a.metrics.requests[report][dropped]) != 1 {
		t.Error("not counted as dropped")
	}
}

func TestUnreadable(t *testing.T) {
	a, set := newTestAnswerer(t, testConfig(), &fakeJudge{})
	for _, c := range []struct {
		command command
		body    string
		code    int
		reason  malformed
	}{
		{allow, `{"login":"a"`, 400, badJSON},
		{allow, `{"login":"\u12"}`, 400, badJSON},
		{allow, `{"login":"\""} "`, 400, badJSON},
		{allow, `{"login":5}`, 422, badType},
		{report, `{"login":"a","remote":"::1","policy_reject":true}`, 422, noSuccess},
		{report, `{}`, 422, noSuccess},
	} {
		got := a.answer(set, &request{command: c.command, body: []byte(c.body)}, time.Now())
		if got.code != c.code || got.reason != c.reason || got.err == nil {
			t.Errorf("%s: %d %d %v", c.body, got.code, got.reason, got.err)
		}
		var answer map[string]string
		if err := json.Unmarshal(got.body, &answer); err != nil || len(answer) != 1 || answer["error"] == "" {
			t.Errorf("%s: answer %s", c.body, got.body)
		}
	}
}

func TestCommandOf(t *testing.T) {
	for target, want := range map[string]string{
		"/?command=allow":                                 "allow",
		"/?command=report":                                "report",
		"/policy/dovecot?command=allow":                   "allow",
		"/?host=mx1&command=allow":                        "allow",
		"/policy&command=report":                          "report", // a URL without ? that ends in &
		"/?a=b?command=report":                            "report", // and one with ? that does not
		"/?command=allow&x=1":                             "allow",
		"/?command=allow#x":                               "allow",
		"/?command=report&command=allow":                  "allow",
		"http://saslguard/?command=allow":                 "allow",
		"http://u:p@mx1.example.org:4001/?command=report": "report",
		"?command=allow":                                  "allow",
		"/":                                               "",
		"":                                                "",
		"command=allow":                                   "",
		"/command=allow":                                  "",
		"/?command=":                                      "",
		"/?command":                                       "",
		"/?command=Allow":                                 "",
		"/?command=allowed":                               "",
		"/?xcommand=allow":                                "",
		"/?command=allow%20":                              "",
	} {
		got := ""
		if c, ok := commandOf([]byte(target)); ok {
			got = commandNames[c]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestLongLogin(t *testing.T) {
	judge := new(fakeJudge)
	cfg := testConfig()
	cfg.Nonce = "nonce"
	a, set := newTestAnswerer(t, cfg, judge)
	login := strings.Repeat("é", 20_000)
	body := fmt.Sprintf(`{"login":%q,"pwhash":"0ccf","remote":"::1","session_id":"s"}`, login)
	a.answer(set, &request{body: []byte(body)}, time.Now())
	if got := judge.seen(); len(got) != 1 || got[0].Login != login || got[0].Session != "s" || !got[0].HashChecked {
		t.Error("a long login did not come through")
	}
}
