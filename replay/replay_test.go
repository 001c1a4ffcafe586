package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Ten are verified, then the client is refused, and who goes on is banned; after the
// ban it begins anew, and the second ban is twice as long.
func TestWhoGuessesIsRefusedAndBanned(t *testing.T) {
	m := newMail(t)
	m.fail("203.0.113.7", "info@example.org", 40)
	m.wait(20 * time.Hour) // the score is gone
	m.fail("203.0.113.7", "info@example.org", 30)
	r := m.replay(nil)
	c := r.client("203.0.113.7")
	if c.Failures != 70 || c.Verified != 20 || c.Refused != 50 || c.Accounts != 1 || c.Bans != 2 {
		t.Errorf("%+v", c)
	}
	first := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	for _, when := range []struct {
		what      string
		got, want time.Time
	}{
		{"first", c.First, first},
		{"last", c.Last, first.Add(40*time.Second + 20*time.Hour + 29*time.Second)},
		{"delayed", c.DelayedFrom, first.Add(3 * time.Second)},
		{"refused", c.RefusedFrom, first.Add(10 * time.Second)},
		{"banned", c.BannedFrom, first.Add(19 * time.Second)},
		{"ban ended", c.BannedUntil, first.Add(40*time.Second + 20*time.Hour + 19*time.Second + 2*time.Hour)},
	} {
		// A little of the score decays between the attempts: a ban may take one more.
		if d := when.got.Sub(when.want); d < 0 || d > time.Second {
			t.Errorf("%s: %s, want %s", when.what, when.got, when.want)
		}
	}
	totals := r.Results[0].Totals
	if totals.FailuresVerified != 20 || totals.FailuresRefused != 50 || totals.ClientsBanned != 1 || totals.Bans != 2 {
		t.Errorf("%+v", totals)
	}
}

// A line for three attempts is three attempts: the budget ends in the middle of it.
func TestALineForManyAttempts(t *testing.T) {
	m := newMail(t)
	for range 5 {
		m.line("dovecot: imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 9 secs): user=<carol>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.1, session=<x>")
		m.wait(9 * time.Second)
	}
	r := m.replay(nil)
	if c := r.client("203.0.113.9"); c.Failures != 15 || c.Verified != 10 || c.Refused != 5 {
		t.Errorf("%+v", c)
	}
	if r.Read.Lines != 5 || r.Read.Failures != 15 {
		t.Errorf("%+v", r.Read)
	}
}

// Who is refused and then types the right password is a false alarm; who only
// mistypes now and then is none.
func TestFalseAlarms(t *testing.T) {
	m := newMail(t)
	m.fail("198.51.100.5", "bob@example.org", 2)
	m.succeed("198.51.100.5", "bob@example.org")
	m.fail("198.51.100.77", "dave@example.org", 12)
	m.succeed("198.51.100.77", "dave@example.org")
	m.wait(5 * time.Hour)
	m.succeed("198.51.100.77", "dave@example.org")
	m.succeed("198.51.100.77", "dave@example.org")
	r := m.replay(nil)
	got := r.Results[0].FalseAlarms
	if len(got) != 1 || got[0].Client != "198.51.100.77" || got[0].KeptOut != 1 || got[0].Later != 2 || got[0].LoginAs != "dave@example.org" {
		t.Errorf("%+v", got)
	}
	if n := r.Results[0].Totals.SuccessesRefused; n != 1 {
		t.Errorf("%d successful logins refused", n)
	}
}

// A botnet that tries an account once from each address is seen at the account.
func TestDistributedAttacks(t *testing.T) {
	m := newMail(t)
	for i := range 30 {
		m.fail(fmt.Sprintf("45.7.%d.9", i), "alice@example.org", 1)
	}
	for i := range 30 {
		m.fail(fmt.Sprintf("203.0.113.%d", i), fmt.Sprintf("user%d@example.org", i), 1)
	}
	r := m.replay(nil)
	got := r.Results[0].Distributed
	if len(got) != 2 || got[1].Account != "alice@example.org" || got[1].Clients != 30 || got[1].Delayed != 20 ||
		got[0].Network != "203.0.113.0/24" || got[0].Clients != 30 || got[0].Delayed != 10 {
		t.Errorf("%+v", got)
	}
}

// The attempts of hosts that log at the same time are put in order, however many
// files there are and in whatever order they are named.
func TestLogsThatOverlap(t *testing.T) {
	m := newMail(t)
	for i := range 200 {
		m.fail(fmt.Sprintf("203.0.113.%d", i%7), "info@example.org", 1)
		m.wait(time.Duration(i%5) * time.Minute)
	}
	want := m.replay(nil).Results
	var hosts [3]bytes.Buffer
	for i, line := range bytes.SplitAfter(m.log.Bytes(), []byte("\n")) {
		hosts[i*7%3].Write(line)
	}
	got := m.replay(func(o *Options) {
		o.Paths = nil
		for i := range hosts {
			o.Paths = append([]string{write(t, "mail.log", hosts[i].Bytes())}, o.Paths...)
		}
	})
	if !reflect.DeepEqual(got.Results, want) {
		t.Errorf("of three logs\n%+v\nof one\n%+v", got.Results, want)
	}
	if len(got.Read.Files) != 3 || got.Read.Lines != 200 {
		t.Errorf("%+v", got.Read)
	}
}

// Rotated logs are read from the oldest on.
func TestRotatedLogs(t *testing.T) {
	m := newMail(t)
	m.fail("203.0.113.7", "info@example.org", 6)
	old := bytes.Clone(m.log.Bytes())
	m.log.Reset()
	m.fail("203.0.113.7", "info@example.org", 6)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(old); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r := m.replay(func(o *Options) {
		o.Paths = []string{write(t, "mail.log", m.log.Bytes()), write(t, "mail.log.2.gz", packed.Bytes())}
	})
	if c := r.client("203.0.113.7"); c.Verified != 10 || c.Refused != 2 {
		t.Errorf("%+v", c)
	}
	if !strings.HasSuffix(r.Read.Files[0].Name, ".gz") {
		t.Errorf("%+v", r.Read.Files)
	}

	// One that was cut is read as far as it goes.
	r = m.replay(func(o *Options) {
		o.Paths = []string{write(t, "mail.log.2.gz", packed.Bytes()[:packed.Len()-12]), write(t, "mail.log", m.log.Bytes())}
	})
	if r.Read.Files[0].Error == "" || r.client("203.0.113.7").Failures < 6 || !strings.Contains(r.table(t), "was not read to its end") {
		t.Errorf("%+v", r.Read)
	}
}

func TestSinceAndUntil(t *testing.T) {
	m := newMail(t)
	from := m.at
	m.fail("203.0.113.7", "info@example.org", 30)
	r := m.replay(func(o *Options) { o.Since, o.Until = from.Add(10*time.Second), from.Add(15*time.Second) })
	if c := r.client("203.0.113.7"); c.Failures != 5 || r.Read.Outside != 25 {
		t.Errorf("%+v, %d outside", c, r.Read.Outside)
	}
}

// Two sets of rules are replayed side by side. Where they do not agree what a client
// is, it is about the larger one.
func TestTwoSetsOfRules(t *testing.T) {
	m := newMail(t)
	m.fail("203.0.113.7", "info@example.org", 8)
	for i := range 20 {
		m.fail(fmt.Sprintf("2001:db8:7:1::%x", i), "info@example.org", 1)
	}
	strict := testRules()
	strict.Client.Refuse = 5
	strict.Client.IPv6 = 128
	r := m.replay(func(o *Options) { o.Sets = append(o.Sets, RuleSet{Name: "strict", Rules: strict}) })
	got := r.Differences
	want := []Difference{
		{"2001:db8:7:1::/64", 20, "ban", "delay"},
		{"203.0.113.7", 8, "delay", "refuse"},
	}
	if got == nil || got.Listed != 2 || !reflect.DeepEqual(got.Clients, want) {
		t.Errorf("%+v", got)
	}
	if table := r.table(t); !strings.Contains(table, "Side by side") || !strings.Contains(table, "==== strict ====") {
		t.Error(table)
	}
}

func TestFocus(t *testing.T) {
	m := newMail(t)
	m.fail("203.0.113.7", "info@example.org", 25)
	m.fail("203.0.113.8", "info@example.org", 2)
	m.fail("203.0.113.9", "sales@example.org", 2)
	r := m.replay(func(o *Options) { o.Focus.Client = netip.MustParsePrefix("203.0.113.7/32") }).Results[0]
	if len(r.Clients) != 1 || len(r.Accounts) != 1 || r.Accounts[0].Account != "info@example.org" {
		t.Errorf("%+v %+v", r.Clients, r.Accounts)
	}
	var said []string
	attempts := 0
	for _, e := range r.Events {
		said = append(said, e.Action)
		attempts += e.Attempts
	}
	if got := strings.Join(said, " "); attempts != 25 || !strings.HasPrefix(got, "pass tarpit") || !strings.Contains(got, "refuse") {
		t.Errorf("%d attempts: %s", attempts, got)
	}
	r = m.replay(func(o *Options) { o.Focus.Account = "SALES@example.org" }).Results[0]
	if len(r.Clients) != 1 || r.Clients[0].Client != "203.0.113.9" || len(r.Accounts) != 1 || len(r.Events) != 1 {
		t.Errorf("%+v %+v %+v", r.Clients, r.Accounts, r.Events)
	}
}

// The clients that would be banned are what other tools want to read.
func TestRaw(t *testing.T) {
	m := newMail(t)
	m.fail("203.0.113.70", "info@example.org", 25)
	m.fail("203.0.113.8", "info@example.org", 25)
	m.fail("203.0.113.9", "info@example.org", 15)
	m.fail("2001:db8::1", "info@example.org", 25)
	var b strings.Builder
	if err := m.replay(nil).WriteRaw(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "203.0.113.8\n203.0.113.70\n2001:db8::/64\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What the guard warns of is in the report, once.
func TestWhatTheGuardSays(t *testing.T) {
	m := newMail(t)
	m.fail("172.17.0.1", "info@example.org", 60)
	r := m.replay(nil)
	said := r.Results[0].Said
	if len(said) != 1 || !strings.Contains(said[0], "172.17.0.1/32") || !strings.Contains(said[0], "private") {
		t.Errorf("%q", said)
	}
	m = newMail(t)
	m.fail("127.0.0.1", "info@example.org", 60)
	r = m.replay(nil)
	if n := r.Results[0].Totals.FailuresAllowed; n != 60 || !strings.Contains(strings.Join(r.Notes, " "), "allowlist") {
		t.Errorf("%d allowed, %q", n, r.Notes)
	}
}

func TestNothingIsRecognised(t *testing.T) {
	for name, log := range map[string]string{
		"nothing": "", "words": "hello\nworld\n",
		"other":   "2026-11-22T07:00:00Z mx1 kernel: all is well\n",
		"unknown": "2026-11-22T07:00:00Z mx1 imapthing[1]: login failed for \x1b[2Jfrom 192.0.2.1\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := run(t, []byte(log), nil)
			if !errors.Is(err, ErrNothing) || r == nil || r.Read.Recognised != 0 {
				t.Fatalf("%v, %+v", err, r)
			}
			if table := r.table(t); strings.Contains(table, "\x1b") {
				t.Errorf("a line of the log is written as it is: %q", table)
			}
			if name == "unknown" && (r.Read.Unknown != 1 || len(r.Read.Samples) != 1 || r.Read.Samples[0].Line != 1) {
				t.Errorf("%+v", r.Read)
			}
		})
	}
}

// The same log has the same report, to the octet.
func TestTheSameReportTwice(t *testing.T) {
	m := newMail(t)
	for i := range 2000 {
		m.fail(fmt.Sprintf("203.0.%d.%d", i%11, i%13), fmt.Sprintf("user%d", i%17), 1)
	}
	once := func() string {
		text, err := json.Marshal(m.replay(func(o *Options) { o.Stdin = bytes.NewReader(m.log.Bytes()) }))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if a, b := once(), once(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestTheEndOfTheContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := newMail(t)
	m.fail("203.0.113.7", "info", 1)
	_, err := Run(ctx, Options{Paths: []string{write(t, "mail.log", m.log.Bytes())}, Sets: []RuleSet{{"test", testRules()}}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
