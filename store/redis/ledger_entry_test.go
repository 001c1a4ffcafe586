package redis

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
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
