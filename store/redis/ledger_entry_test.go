package redis

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/test/fuzzing"
)

func TestEntryText(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		entry       store.Entry
		name, value string
	}{
		{store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Since: at, Until: at.Add(time.Hour),
			Reason: "guessing", Rule: "client", By: "mx1", Times: 2},
			"2p192.0.2.1/32", "1 1772366400000 1772370000000 2 e\x1fguessing\x1fclient\x1fmx1"},
		{store.Entry{Kind: store.OperatorBan, Account: "alice@example.org", Since: at, Observed: true},
			"0aalice@example.org", "1 1772366400000 0 0 o\x1f\x1f\x1f"},
		{store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("2001:db8::/32"), Since: time.UnixMilli(-1).UTC()},
			"1p2001:db8::/32", "1 -1 0 0 e\x1f\x1f\x1f"},
	} {
		if name := entryName(&x.entry); name != x.name {
			t.Errorf("name %q, want %q", name, x.name)
		}
		if value := encodeEntry(&x.entry); value != x.value {
			t.Errorf("value %q, want %q", value, x.value)
		}
		if got, err := decodeEntry(x.name, x.value); err != nil || got != x.entry {
			t.Errorf("%s: got %+v, %v", x.name, got, err)
		}
	}
}

func TestBadEntryText(t *testing.T) {
	const name, value = "2p192.0.2.1/32", "1 5 9 2 e\x1fa\x1fb\x1fc"
	if _, err := decodeEntry(name, value); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "2", "2p", "2a", "9p192.0.2.1/32", "xp192.0.2.1/32", "2q192.0.2.1/32", "2p192.0.2.1/24", "2p192.0.2.1",
		"2p::ffff:192.0.2.1/128", "2p2001:DB8::/32", "2p192.0.2.1/032", "2pfe80::%eth0/64", "2a" + strings.Repeat("x", 321), "2aa\nb",
	} {
		if _, err := decodeEntry(bad, value); !errors.Is(err, errEntry) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	for _, bad := range []string{
		"", "1", "2 5 9 2 e\x1fa\x1fb\x1fc", "1 5 9 2 e\x1fa\x1fb", "1 5 9 2 e\x1fa\x1fb\x1fc\x1fd", "1 5 9 2\x1fa\x1fb\x1fc",
		"1 5 9 2 x\x1fa\x1fb\x1fc", "1 +5 9 2 e\x1fa\x1fb\x1fc", "1 05 9 2 e\x1fa\x1fb\x1fc", "1 9 5 2 e\x1fa\x1fb\x1fc",
		"1 5 9 -2 e\x1fa\x1fb\x1fc", "1 5 -9 2 e\x1fa\x1fb\x1fc", "1 5 9e3 2 e\x1fa\x1fb\x1fc", "1  5 9 2 e\x1fa\x1fb\x1fc",
		"1 5 99999999999999999 2 e\x1fa\x1fb\x1fc", "1 5 9 9999999999 e\x1fa\x1fb\x1fc", "1 5 9 2 e\x1fa\nb\x1fb\x1fc",
		"1 5 9 2 e\x1f" + strings.Repeat("x", 257) + "\x1fb\x1fc", "1 5 9 2 e\x1f\xff\x1fb\x1fc",
	} {
		if _, err := decodeEntry(name, bad); !errors.Is(err, errEntry) {
			t.Errorf("value %q: %v", bad, err)
		}
	}
}

// FuzzEntry holds that what is read is valid, and written in the same way.
func FuzzEntry(f *testing.F) {
	f.Add("2p192.0.2.1/32", "1 1772366400000 1772370000000 2 e\x1fguessing\x1fclient\x1fmx1")
	f.Add("0aalice@example.org", "1 1772366400000 0 0 o\x1f\x1f\x1f")
	f.Add("1p2001:db8::/32", "1 -1 0 0 e\x1f\x1f\x1f")
	f.Fuzz(func(t *testing.T, name, value string) {
		e, err := decodeEntry(name, value)
		if err != nil {
			if !errors.Is(err, errEntry) || e != (store.Entry{}) {
				t.Fatalf("%+v, %v", e, err)
			}
			return
		}
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
		if entryName(&e) != name || encodeEntry(&e) != value {
			t.Fatalf("%q %q became %q %q", name, value, entryName(&e), encodeEntry(&e))
		}
	})
}

// FuzzChange holds that what is read from the stream, whoever wrote it, is an event
// of an entry that may be, or none.
func FuzzChange(f *testing.F) {
	ban := testBan(1)
	ban.Since, ban.Until, ban.Times = millis(1_772_366_400_000), millis(1_772_370_000_000), 1
	f.Add("1772366400000-0", "1", entryName(&ban), encodeEntry(&ban), "")
	f.Add("1772366400000-1", "2", entryName(&ban), "", "1772366400001")
	f.Add("", "-1", "2p::/0", "1 0 0 0 e\x1f\x1f\x1f", "9e9")
	f.Fuzz(func(t *testing.T, id, n, name, entry, at string) {
		values := map[string]any{"n": n, "name": name}
		if entry != "" {
			values["entry"] = entry
		}
		if at != "" {
			values["at"] = at
		}
		c, err := decodeChange(goredis.XMessage{ID: id, Values: values})
		if err != nil {
			return
		}
		e, err := c.event()
		if err != nil {
			return
		}
		if err := e.Entry.CheckName(); err != nil || e.Position.String() != id || !isTime(e.At.UnixMilli()) {
			t.Errorf("%+v: %v", e, err)
		}
	})
}

// FuzzSpoken holds that what is read of hosts, whoever wrote it, can be shown.
func FuzzSpoken(f *testing.F) {
	f.Add("mx1\x1f0123", "1772366400000", `{"version":"1","mode":"enforce","position":"7-0"}`, `{"backend":"nftables","state":"running","position":"7-0","bans":3}`)
	f.Add("mx1", "x", "{", "null")
	f.Add("\x1b[2J\x1f", "1", `{"mode":"\u001b[2J"}`, `{"bans":-1,"error":"\n"}`)
	f.Fuzz(func(t *testing.T, who, at, about, agent string) {
		for _, h := range readHosts([]any{who, at, about}, []any{who, at, agent}, func(string, error) {}) {
			texts := []string{h.Name, h.Version, h.Mode}
			if h.Firewall != nil {
				texts = append(texts, h.Firewall.Backend, h.Firewall.State, h.Firewall.Error)
			}
			for _, s := range texts {
				if s != store.Printable(s) {
					t.Errorf("%q is shown", s)
				}
			}
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
