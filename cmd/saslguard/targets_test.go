package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/test/fuzzing"
)

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		arg            string
		account, names bool
		want           target
	}{
		{"192.0.2.1", false, false, target{prefix: "192.0.2.1"}},
		{"192.0.2.0/24", false, true, target{prefix: "192.0.2.0/24"}},
		{"2001:db8::/32", false, false, target{prefix: "2001:db8::/32"}},
		{"alice@example.org", false, true, target{account: "alice@example.org"}},
		{"alice", false, true, target{account: "alice"}},
		{"12345", false, false, target{account: "12345"}},
		{"john.doe", false, false, target{account: "john.doe"}},
		{"home.example.org", false, true, target{name: "home.example.org"}},
		{"192.0.2.1", true, true, target{account: "192.0.2.1"}},
		{"192.0.2.256", false, false, target{}}, {"192.0.2.7/24", false, false, target{}}, {"10.0.0", false, true, target{}},
		{"2001:db8:::1", false, false, target{}}, {"", false, false, target{}}, {"1.2.3.4/", false, false, target{}},
	} {
		got, err := targetOf(c.arg, c.account, c.names)
		if got != c.want || (err == nil) != (c.want != target{}) {
			t.Errorf("%q: %+v, %v", c.arg, got, err)
		}
	}
}

func TestImport(t *testing.T) {
	usual := api.NewEntry{Seconds: 60, Reason: "why"}
	got, _, err := imported("list", []byte("\ufeff# a comment\n192.0.2.1\n\n 2001:db8::/32 # the worst\r\nalice@example.org\n"), usual, false, false)
	if err != nil || len(got) != 3 || got[0].Prefix != "192.0.2.1" || got[1].Prefix != "2001:db8::/32" || got[2].Account != "alice@example.org" || got[2].Seconds != 60 || got[2].Reason != "why" {
		t.Errorf("%+v, %v", got, err)
	}
	exported := `{"entries":[
{"kind":"automatic-ban","prefix":"192.0.2.1/32","since":"2026-01-01T00:00:00Z","until":"2999-01-01T00:00:00Z","by":"mx1","observed":false,"times":2,"reason":"r"},
{"kind":"operator-ban","account":"alice","since":"2026-01-01T00:00:00Z","by":"root","observed":false,"times":1},
{"kind":"operator-ban","prefix":"192.0.2.9/32","since":"2020-01-01T00:00:00Z","until":"2020-01-02T00:00:00Z","by":"root","observed":false,"times":1}
],"total":3,"mode":"enforce"}`
	got, _, err = imported("bans.json", []byte(exported), usual, false, false)
	if err != nil || len(got) != 2 || got[0].Until != "2999-01-01T00:00:00Z" || got[0].Reason != "r" || !got[1].Permanent || got[1].Account != "alice" {
		t.Errorf("%+v, %v", got, err)
	}
	// Nobody is banned because he was on the allowlist, nor allowed because he was banned.
	friends := `{"entries":[{"kind":"allow","prefix":"192.0.2.0/24","since":"2026-01-01T00:00:00Z","by":"root"}]}`
	if _, _, err := imported("x", []byte(friends), usual, false, false); err == nil || !strings.Contains(err.Error(), "its kind is allow; allowed is what saslguard bans -o json writes") {
		t.Errorf("the allowlist as bans: %v", err)
	}
	if _, _, err := imported("x", []byte(exported), usual, true, false); err == nil || !strings.Contains(err.Error(), "its kind is automatic-ban; allowed is what saslguard allow list") {
		t.Errorf("bans as the allowlist: %v", err)
	}
	if got, _, err := imported("x", []byte(friends), usual, true, false); err != nil || len(got) != 1 || got[0].Prefix != "192.0.2.0/24" || !got[0].Permanent {
		t.Errorf("%+v, %v", got, err)
	}
	// What was only observed has refused nobody, and becomes real only by request.
	watched := `{"entries":[{"kind":"automatic-ban","prefix":"192.0.2.1/32","since":"2026-01-01T00:00:00Z","observed":true},{"kind":"automatic-ban","prefix":"192.0.2.2/32","since":"2026-01-01T00:00:00Z"}]}`
	if got, left, err := imported("x", []byte(watched), usual, false, false); err != nil || len(got) != 1 || got[0].Prefix != "192.0.2.2/32" || left != 1 {
		t.Errorf("%+v, %d left out, %v", got, left, err)
	}
	if got, left, err := imported("x", []byte(watched), usual, false, true); err != nil || len(got) != 2 || left != 0 {
		t.Errorf("with observed ones: %+v, %d left out, %v", got, left, err)
	}
	if _, _, err := imported("x", []byte(strings.Replace(watched, "192.0.2.2/32\"", "192.0.2.2/32\",\"observed\":true", 1)), usual, false, false); err == nil || !strings.Contains(err.Error(), "only observed") {
		t.Errorf("nothing but observed ones: %v", err)
	}
	many := strings.Repeat("192.0.2.300\n", 30)
	for _, c := range []struct{ text, want string }{
		{"192.0.2.1\n192.0.2.300\n\n192.0.2.7/24\n", "list:2: \"192.0.2.300\" is neither"},
		{"192.0.2.1\n192.0.2.300\n\n192.0.2.7/24\n", "list:4: 192.0.2.7/24 has host bits set"},
		{"192.0.2.1\n192.0.2.300\n", "nothing was done"},
		{"192.0.2.1 192.0.2.2\n", "list:1: \"192.0.2.1 192.0.2.2\" is more than one word"},
		{"a\x1b[31m b\n", `a\x1b[31m b`},
		{"192.0.2.1\n192.0.2.1\n", "list:2: 192.0.2.1 is in line 1 already"},
		{"", "list has no entries"}, {"# nothing\n", "no entries"},
		{many, "and 10 more"},
		{`{"entries":[{"prefix":1}]}`, "list:1:"}, {"{\n\"entriess\":[]}", "list:2:"}, {`{"entries":[{"kind":"ban","prefix":"192.0.2.1/32"}]}`, "entries[0]: \"ban\" is no kind"},
	} {
		if got, _, err := imported("list", []byte(c.text), usual, false, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, %v, want %q", c.text, got, err, c.want)
		}
	}
	var big strings.Builder
	for i := range api.MaxEntries + 1 {
		fmt.Fprintf(&big, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	if _, _, err := imported("list", []byte(big.String()), usual, false, false); err == nil || !strings.Contains(err.Error(), "at most 50000") {
		t.Errorf("too many: %v", err)
	}
}

func FuzzImport(f *testing.F) {
	for _, s := range []string{"192.0.2.1\n# x\nalice@example.org", `{"entries":[{"kind":"allow","name":"a.b","since":"2026-01-01T00:00:00Z"}]}`, "{", "\ufeff", "a\x00b\n", "::/0\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _, err := imported("list", text, api.NewEntry{Seconds: 1}, true, false)
		if err == nil && (len(got) == 0 || len(got) > api.MaxEntries) {
			t.Errorf("%d entries", len(got))
		}
		for _, e := range got {
			if (e.Prefix != "") == (e.Account+e.Name != "") {
				t.Errorf("%+v", e)
			}
		}
	})
}

// What the server finds wrong is told by the flag that said it, and of the others by
// what it is about.
func TestRefusedFlags(t *testing.T) {
	for _, c := range []struct {
		command *cobra.Command
		field   string
		flag    string
	}{
		{newBans(), "sort", "sort"}, {newBans(), "within", "within"}, {newExplain(), "limit", "events"}, {newReport(), "age", "since"},
		{newReport(), "top", "top"}, {newBan(), "wait", "wait"}, {newBan(), "entries[0].prefix", ""}, {newAudit(), "", ""},
	} {
		if got := flagOf(c.command, api.Wrong(c.field, "is wrong")); got != c.flag {
			t.Errorf("%s: the flag of %q is %q, not %q", c.command.Name(), c.field, got, c.flag)
		}
	}
	err := named(api.Wrong("entries[1].seconds", "is 0"), []api.NewEntry{{}, {Account: "alice"}})
	if err.Error() != "alice: seconds is 0" {
		t.Error(err)
	}
	var s api.Status
	if err := failing(&s); err != nil {
		t.Error(err)
	}
	s.State, s.Parts = "failing", []api.Part{{Name: "bans", State: "failing"}, {Name: "store", State: "ok"}}
	if err := failing(&s); err == nil || err.Error() != "saslguard is failing: bans" {
		t.Error(err)
	}
}

// What an operator types wrong is told before anybody is asked.
func TestOperatorsMistakes(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("192.0.2.1\nnot an entry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := "--socket=" + dir + "/none.sock"
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"ban", exitUsage, "needs to be told what"},
		{"ban 192.0.2.300 " + nobody, exitUsage, "neither an address nor a prefix"},
		{"ban 192.0.2.1 --for 2 " + nobody, exitUsage, "--for \"2\" is no time"},
		{"ban 192.0.2.1 --for=-1h " + nobody, exitUsage, "is no time"},
		{"ban 192.0.2.1 --from " + list, exitUsage, "exclude each other"},
		{"ban --from " + list, exitFailed, list + ":2: \"not an entry\" is more than one word"},
		{"ban 192.0.2.1 --observed", exitUsage, "goes with --from"},
		{"setup -o xml", exitUsage, "allowed is text or json"},
		{"ban --from " + dir + "/none", exitFailed, "no such file"},
		{"ban 192.0.2.1 " + nobody, exitFailed, "no saslguard answers at unix:" + dir + "/none.sock"},
		{"ban 192.0.2.1 -o xml", exitUsage, "allowed is table or json"},
		{"unban", exitUsage, "or --all"},
		{"unban --all 192.0.2.1", exitUsage, "not both"},
		{"bans now", exitUsage, "now"},
		{"bans --age soon", exitUsage, "age"},
		{"explain", exitUsage, "an address, an account, or both"},
		{"explain alice bob", exitUsage, "both accounts"},
		{"explain 192.0.2.1/24", exitUsage, "host bits"},
		{"allow", exitOK, ""},
		{"allow add", exitUsage, "needs to be told what"},
		{"allow remove", exitUsage, "needs to be told what"},
		{"forget", exitUsage, "takes one account"},
		{"report --since 1", exitUsage, "since"},
		{"status --server https://192.0.2.1:1", exitUsage, "needs --token-file"},
		{"status --server http://192.0.2.1:1 --token-file " + list, exitFailed, "unencrypted"},
		{"status --token-file x", exitUsage, "is for --server"},
		{"status --set admin.control.socket=none", exitFailed, "so nobody can be asked"},
		{"watch " + nobody, exitFailed, "no saslguard answers"},
		{"completion bash", exitOK, ""},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(c.args), &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("saslguard %s: exit code %d, want %d\n%s%s", c.args, code, c.code, &stdout, &stderr)
		}
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
