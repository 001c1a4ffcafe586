package guard

import (
	"net/netip"
	"testing"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// To look changes nothing, and says what the next attempt meets.
func TestLook(t *testing.T) {
	w := newWorld(t, nil)
	look := func(addr, login string) Insight {
		t.Helper()
		a, _ := netip.ParseAddr(addr)
		in, err := w.guard.Look(t.Context(), a, login)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if in := look(bot, alice); in.Verdict.Would != Pass || in.Client.String() != bot+"/32" || in.Account != alice || len(in.Entries) != 0 {
		t.Errorf("nobody yet: %+v", in)
	}
	w.familiar(home, alice, "right")
	for i := range 10 {
		w.fail(bot, alice, string(rune('a'+i)))
	}
	events := len(w.seen.of(Asked))
	before := look(bot, "").Standing.Client
	for range 50 {
		look(bot, alice)
	}
	in := look(bot, "")
	if in.Standing.Client != before || in.Standing.Client.InFlight != 0 || len(w.seen.of(Asked)) != events {
		t.Errorf("looking changed %+v to %+v", before, in.Standing.Client)
	}
	if in.Verdict.Would != Refuse || in.Verdict.Rule != RuleClientScore || in.Verdict.Reason() == "" {
		t.Errorf("after ten failures: %+v", in.Verdict)
	}
	if in := look("", alice); in.Verdict.Would != Tarpit || in.Verdict.Rule != RuleAccountScore || in.Verdict.Delay == 0 || in.Client.IsValid() {
		t.Errorf("the account: %+v", in.Verdict)
	}
	if in := look(home, alice); !in.Standing.Familiar || in.Verdict.Would != Pass {
		t.Errorf("at home: %+v", in)
	}
	// All that covers a client is told, by precedence.
	for _, e := range []store.Entry{
		{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix(bot + "/32"), By: "x"},
		{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("203.0.0.0/16"), By: "x"},
		{Kind: store.Allow, Account: alice, By: "x"},
	} {
		if e.Prefix.IsValid() && e.Kind == store.OperatorBan {
			e.Prefix, _ = netip.MustParseAddr(bot).Prefix(16)
		}
		if _, err := w.store.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	w.follow()
	in = look(bot, alice)
	if len(in.Entries) != 3 || in.Entries[0].Kind != store.OperatorBan || in.Entries[1].Kind != store.Allow || in.Entries[2].Kind != store.AutomaticBan || !in.AllowedAccount || in.Verdict.Rule != RuleOperatorBan {
		t.Errorf("covered by %+v: %+v", in.Entries, in.Verdict)
	}
	if covers := w.guard.Covers(netip.MustParsePrefix(bot + "/32")); len(covers) != 1 || covers[0].Kind != store.OperatorBan {
		t.Errorf("wider bans: %+v", covers)
	}
	if e, ok := w.guard.Entry(store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix(bot + "/32")}); !ok || e.By != "x" {
		t.Errorf("%+v", e)
	}
	if _, ok := w.guard.Entry(store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix(bot + "/32")}); ok {
		t.Error("an entry that is not there")
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "192.0.2.0/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::1/128", "2001:db8::/32": "2001:db8::/32",
		"::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.0/120": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0",
		"192.0.2.1/24": "", "192.0.2.256": "", "fe80::1%eth0": "", "": "", "alice": "", "192.0.2.0/33": "", "192.0.2.0/-1": "", "2001:db8::1/64": "",
	} {
		got, err := ParsePrefix(in)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
}

func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "2001:db8::/32", "64:ff9b::192.0.2.1", "2002:c000:201::/48", "::ffff:0:0/96", "fe80::1%x", "1.2.3.4/5", "::/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrefix(s)
		if err != nil {
			return
		}
		e := store.Entry{Kind: store.OperatorBan, Prefix: p}
		if err := e.CheckName(); err != nil {
			t.Errorf("%q is %s, which no store takes: %v", s, p, err)
		}
		if again, err := ParsePrefix(p.String()); err != nil || again != p {
			t.Errorf("%q is %s, and that is %s, %v", s, p, again, err)
		}
	})
}

// Figures are what the metrics have.
func TestFigures(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 12 {
		w.fail(bot, alice, string(rune('a'+i)))
	}
	f := w.guard.Figures()
	if f.Attempts["failure"] != 10 || f.Attempts["refused"] != 2 || f.Refused != 2 || f.Delayed+f.WouldDelay == 0 || f.Bans != 0 {
		t.Errorf("%+v", f)
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
