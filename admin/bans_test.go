package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// follow waits until the guard knows what the ledger holds.
func (w *world) follow() {
	w.Helper()
	mark := store.Entry{Kind: store.Allow, Account: "mark"}
	_, at, err := w.store.PutPosition(w.Context(), mark)
	if err == nil {
		_, at, err = w.store.RemovePosition(w.Context(), mark)
	}
	if err != nil {
		w.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); w.guard.Position().Compare(at) < 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatal("the guard does not follow")
		}
	}
}

// fail reports wrong passwords of a client.
func (w *world) fail(client, login string, n int) {
	w.Helper()
	as := make([]guard.Attempt, n)
	for i := range as {
		as[i] = guard.Attempt{
			Face: guard.Dovecot, Service: "imap", Client: netip.MustParseAddr(client), Login: login, Hash: fmt.Sprintf("%03x", i+1),
			Mechanism: "PLAIN", HashChecked: true, Outcome: score.Failure,
		}
	}
	for len(as) > 0 {
		part := as[:min(len(as), 50)]
		if err := w.guard.Apply(w.Context(), part, make([]guard.Verdict, len(part))); err != nil {
			w.Fatal(err)
		}
		as = as[len(part):]
	}
	w.follow()
}

func (w *world) refuses(client string) bool {
	v := w.guard.Check(w.Context(), &guard.Attempt{Face: guard.Dovecot, Client: netip.MustParseAddr(client), Login: "nobody@lab.test", Hash: "fff"})
	return v.Action == guard.Refuse
}

func (w *world) ban(prefix string) {
	w.Helper()
	if _, err := w.client.Ban(w.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: prefix, Permanent: true}}, Force: true, Wait: 5}); err != nil {
		w.Fatal(err)
	}
}

// wantError wants an error of a code at a field whose message has a text.
func wantError(t *testing.T, err error, code api.Code, field, text string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field || !strings.Contains(e.Message, text) {
		t.Errorf("got %#v, want %s at %q: %s", err, code, field, text)
	}
}

// What an operator bans is banned, and nothing else is lifted by accident.
func TestUnbanIsExact(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.ban("192.0.2.0/24")
	w.ban("198.51.100.7")
	w.fail("203.0.113.5", "alice", 25)
	if !w.refuses("192.0.2.1") || !w.refuses("198.51.100.7") || !w.refuses("203.0.113.5") {
		t.Fatal("not all are refused")
	}
	unban := func(prefix string) api.Change {
		t.Helper()
		out, err := w.client.Unban(ctx, api.RemoveRequest{Targets: []api.Target{{Prefix: prefix}}, Wait: 5})
		if err != nil {
			t.Fatal(err)
		}
		return out.Changes[0]
	}
	if ch := unban("192.0.2.1"); ch.Done || !strings.Contains(ch.Note, "not banned itself, but within 192.0.2.0/24") {
		t.Errorf("inside of a ban: %+v", ch)
	}
	if ch := unban("198.51.100.0/24"); ch.Done || !strings.Contains(ch.Note, "198.51.100.7/32") {
		t.Errorf("around a ban: %+v", ch)
	}
	if ch := unban("10.0.0.1"); ch.Done || ch.Note != "not banned" {
		t.Errorf("not banned: %+v", ch)
	}
	if !w.refuses("192.0.2.1") || !w.refuses("198.51.100.7") {
		t.Error("something was lifted by accident")
	}
	if ch := unban("203.0.113.5"); !ch.Done || ch.Entry == nil || ch.Entry.Kind != api.AutomaticBan || ch.Note != "" {
		t.Errorf("an automatic ban: %+v", ch)
	}
	if w.refuses("203.0.113.5") {
		t.Error("the score was kept")
	}
	// With the score the next failure bans again, and it counts as a first ban.
	w.fail("203.0.113.6", "alice", 25)
	if _, err := w.client.Unban(ctx, api.RemoveRequest{Targets: []api.Target{{Prefix: "203.0.113.6"}}, KeepScore: true, Wait: 5}); err != nil {
		t.Fatal(err)
	}
	if !w.refuses("203.0.113.6") {
		t.Error("the score was dropped although it was to be kept")
	}
	w.ban("203.0.113.7")
	w.ban("203.0.113.0/24")
	if ch := unban("203.0.113.7"); !ch.Done || !strings.Contains(ch.Note, "still banned as 203.0.113.0/24") {
		t.Errorf("within a wider ban: %+v", ch)
	}
	out, err := w.client.Unban(ctx, api.RemoveRequest{All: true, Wait: 5})
	if err != nil || len(out.Changes) != 3 {
		t.Fatalf("all: %+v, %v", out.Changes, err)
	}
	if list, err := w.client.Bans(ctx, api.BansQuery{}); err != nil || list.Total != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}

func TestBansThatHurtNeedForce(t *testing.T) {
	w := newWorld(t)
	for prefix, why := range map[string]string{
		"127.0.0.1": "loopback", "::1": "loopback", "127.0.0.0/16": "loopback", "203.0.113.250": "an address of this host",
		"203.0.113.0/24": "an address of this host", "0.0.0.0/0": "large part", "::/0": "large part", "8.0.0.0/7": "large part", "2000::/15": "large part",
		"198.51.100.0/24": "logged in",
	} {
		in := api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.1", Seconds: 60}, {Prefix: prefix, Seconds: 60}}, Protect: []string{"198.51.100.3"}}
		_, err := w.client.Ban(t.Context(), in)
		wantError(t, err, api.Unsafe, "entries[1].prefix", why)
	}
	if list, err := w.client.Bans(t.Context(), api.BansQuery{}); err != nil || list.Total != 0 {
		t.Fatalf("some were made: %+v, %v", list, err)
	}
	out, err := w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "127.0.0.1", Seconds: 60}}, Force: true, Wait: 5})
	if err != nil || !out.Changes[0].Done || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "rules.allow_clients") {
		t.Errorf("%+v, %v", out, err)
	}
	if !w.refuses("127.0.0.1") {
		t.Error("an operator's ban does not beat the allowlist")
	}
	if n := w.audit.FilterMessageSnippet("operator").Len(); n != 11 {
		t.Errorf("%d changes are in the audit log", n)
	}
}

// A request in which one entry is wrong does nothing, and names it.
func TestWrongEntries(t *testing.T) {
	w := newWorld(t)
	good := api.NewEntry{Prefix: "192.0.2.1", Seconds: 60}
	for _, c := range []struct {
		bad         api.NewEntry
		field, text string
	}{
		{api.NewEntry{}, "prefix", "0 of prefix, account and name"},
		{api.NewEntry{Prefix: "192.0.2.1", Account: "a", Seconds: 1}, "prefix", "2 of prefix"},
		{api.NewEntry{Prefix: "192.0.2.7/24", Seconds: 1}, "prefix", "the network 192.0.2.0/24, or the address 192.0.2.7"},
		{api.NewEntry{Prefix: "192.0.2.256", Seconds: 1}, "prefix", "neither an address nor a prefix"},
		{api.NewEntry{Prefix: "fe80::1%eth0", Seconds: 1}, "prefix", "zone"},
		{api.NewEntry{Name: "home.example.org", Seconds: 1}, "name", "allowlist"},
		{api.NewEntry{Account: strings.Repeat("a", 321), Seconds: 1}, "account", "321 octets"},
		{api.NewEntry{Prefix: "192.0.2.2"}, "seconds", "0 of seconds, until and permanent"},
		{api.NewEntry{Prefix: "192.0.2.2", Seconds: 1, Permanent: true}, "seconds", "2 of seconds"},
		{api.NewEntry{Prefix: "192.0.2.2", Seconds: -1}, "seconds", "-1"},
		{api.NewEntry{Prefix: "192.0.2.2", Seconds: 1 << 62}, "seconds", "ten years"},
		{api.NewEntry{Prefix: "192.0.2.2", Until: "tomorrow"}, "until", "RFC 3339"},
		{api.NewEntry{Prefix: "192.0.2.2", Until: "2020-01-01T00:00:00Z"}, "until", "next ten years"},
		{api.NewEntry{Prefix: "192.0.2.2", Seconds: 1, Reason: "a\nb"}, "", "unprintable"},
		{api.NewEntry{Prefix: "192.0.2.2", Seconds: 1, Reason: strings.Repeat("x", 257)}, "", "257 bytes"},
		{api.NewEntry{Account: "a\x1b[31m", Seconds: 1}, "", "unprintable"},
		{good, "", "entries[0] already"},
		{api.NewEntry{Prefix: "::ffff:192.0.2.1", Seconds: 60}, "", "entries[0] already"},
	} {
		_, err := w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{good, c.bad}})
		field := "entries[1]"
		if c.field != "" {
			field += "." + c.field
		}
		wantError(t, err, api.Invalid, field, c.text)
	}
	_, err := w.client.Ban(t.Context(), api.PutRequest{})
	wantError(t, err, api.Invalid, "entries", "1 to 50000")
	_, err = w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{good}, Wait: 61})
	wantError(t, err, api.Invalid, "wait", "0 to 60")
	_, err = w.client.Allow(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "0.0.0.0/0", Permanent: true}}})
	wantError(t, err, api.Invalid, "entries[0].prefix", "every client")
	_, err = w.client.Unban(t.Context(), api.RemoveRequest{Targets: []api.Target{{Prefix: "1.2.3.4"}, {Prefix: "x"}}})
	wantError(t, err, api.Invalid, "targets[1].prefix", "neither")
	_, err = w.client.Unban(t.Context(), api.RemoveRequest{All: true, Targets: []api.Target{{Prefix: "1.2.3.4"}}})
	wantError(t, err, api.Invalid, "all", "either")
	if list, err := w.client.Bans(t.Context(), api.BansQuery{}); err != nil || list.Total != 0 {
		t.Errorf("some were made: %+v, %v", list, err)
	}
}

func TestListing(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fail("203.0.113.5", "alice", 25)
	w.ban("192.0.2.0/24")
	w.ban("192.0.2.9")
	if _, err := w.client.Ban(ctx, api.PutRequest{Entries: []api.NewEntry{{Account: "Bob", Seconds: 60, Reason: "leaked"}}, Wait: 5}); err != nil {
		t.Fatal(err)
	}
	for want, q := range map[string]api.BansQuery{
		"192.0.2.0/24 192.0.2.9/32 203.0.113.5/32 bob@lab.test": {},
		"192.0.2.0/24 192.0.2.9/32":                             {Within: "192.0.2.0/24"},
		"192.0.2.9/32":                                          {Within: "192.0.2.9"},
		"192.0.2.0/24 192.0.2.9/32 ":                            {Containing: "192.0.2.9"},
		"192.0.2.0/24":                                          {Containing: "192.0.2.1"},
		"bob@lab.test":                                          {Account: "BOB"},
		"203.0.113.5/32":                                        {Kind: "automatic-ban"},
		"203.0.113.5/32 ":                                       {Rule: "client-score"},
		"203.0.113.5/32  ":                                      {By: "mx1"},
		"":                                                      {By: "mx9"},
		"192.0.2.0/24 192.0.2.9/32 203.0.113.5/32 bob@lab.test ": {Age: 3600},
	} {
		q.Sort = "prefix"
		out, err := w.client.Bans(ctx, q)
		var got []string
		for i := range out.Entries {
			got = append(got, out.Entries[i].Prefix+out.Entries[i].Account)
		}
		// The store sorts accounts after prefixes: an empty name comes first.
		if err != nil || strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%+v: %q, %v, want %q", q, got, err, want)
		}
	}
	if out, err := w.client.Bans(ctx, api.BansQuery{Limit: 1}); err != nil || len(out.Entries) != 1 || out.Total != 4 {
		t.Errorf("limited: %+v, %v", out, err)
	}
	for field, q := range map[string]api.BansQuery{
		"within": {Within: "x"}, "containing": {Containing: "1.2.3.4/5"}, "kind": {Kind: "allow"}, "sort": {Sort: "size"}, "limit": {Limit: -1}, "age": {Age: -1},
	} {
		_, err := w.client.Bans(ctx, q)
		wantError(t, err, api.Invalid, field, "allowed")
	}
}

func TestAllowWarnsOfWhatItCancels(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fail("203.0.113.5", "alice", 25)
	w.ban("203.0.113.9")
	out, err := w.client.Allow(ctx, api.PutRequest{Entries: []api.NewEntry{{Prefix: "203.0.113.0/28", Seconds: 3600, Reason: "office"}}, Wait: 5})
	said := strings.Join(out.Warnings, "\n")
	if err != nil || !strings.Contains(said, "cancels 1 automatic bans") || !strings.Contains(said, "203.0.113.9/32 stays banned") {
		t.Errorf("%q, %v", out.Warnings, err)
	}
	if len(out.Hosts) != 1 || !out.Hosts[0].Known || out.Position == "" {
		t.Errorf("hosts: %+v", out.Hosts)
	}
	if w.refuses("203.0.113.5") || !w.refuses("203.0.113.9") {
		t.Error("the allowlist does not come before automatic bans, or comes before operators'")
	}
	out, err = w.client.Ban(ctx, api.PutRequest{Entries: []api.NewEntry{{Prefix: "203.0.113.2", Seconds: 60}}, Wait: 5})
	if err != nil || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "203.0.113.0/28, which is on the allowlist (by ") {
		t.Errorf("%q, %v", out.Warnings, err)
	}
	removed, err := w.client.Disallow(ctx, api.RemoveRequest{Targets: []api.Target{{Prefix: "203.0.113.0/28"}, {Prefix: "198.51.100.64/26"}}, Wait: 5})
	if err != nil || !removed.Changes[0].Done || removed.Changes[1].Done || !strings.Contains(removed.Changes[1].Note, "rules.allow_clients") {
		t.Errorf("%+v, %v", removed.Changes, err)
	}
}

// A firewall agent that has not come that far is waited for, and then told of.
func TestChangesWaitForTheFirewall(t *testing.T) {
	w := newWorld(t)
	w.enforces = &store.AgentState{Backend: "nftables", State: "running", Position: store.Position{Millis: 1}}
	began := time.Now()
	out, err := w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.1", Seconds: 60}}, Wait: 0.3})
	if err != nil || !out.Hosts[0].Known || out.Hosts[0].Firewall != "pending" || time.Since(began) < 300*time.Millisecond {
		t.Errorf("after %v: %+v, %v", time.Since(began), out.Hosts, err)
	}
	w.enforces.Position = store.Position{Millis: uint64(time.Now().Add(time.Hour).UnixMilli())}
	if out, err = w.client.Unban(t.Context(), api.RemoveRequest{Targets: []api.Target{{Prefix: "192.0.2.1"}}, Wait: 10}); err != nil || out.Hosts[0].Firewall != "enforced" {
		t.Errorf("%+v, %v", out.Hosts, err)
	}
	w.enforces.State = "paused"
	if out, err = w.client.Ban(t.Context(), api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.1", Seconds: 60}}, Wait: 10}); err != nil || out.Hosts[0].Firewall != "paused" {
		t.Errorf("%+v, %v", out.Hosts, err)
	}
}
