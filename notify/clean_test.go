package notify

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/saslguard/saslguard/test/fuzzing"
)

func TestLogin(t *testing.T) {
	for in, want := range map[string]string{
		"alice@example.org":     "alice@example.org",
		"o'brien":               "o%27brien",
		"-rf":                   "%2Drf",
		"@everyone":             "%40everyone",
		"me@Everyone":           "me%40Everyone",
		"<!channel>":            "%3C%21channel%3E",
		"$(reboot)":             "%24%28reboot%29",
		"jörg":                  "j%C3%B6rg",
		"a\nBcc: b":             "a%0ABcc%3A%20b",
		strings.Repeat("a", 90): strings.Repeat("a", 80) + "%E2%80%A6+10",
	} {
		if got := login(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "<@U1>", "@here @HERE", "a\r\nb", "\xff\xfe", "日本語", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s, 100)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 101 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", got)
		}
		shown := login(s)
		if len(shown) > 4*maxLogin || strings.Trim(shown, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+=%@") != "" {
			t.Errorf("%q", shown)
		}
		for _, text := range []string{got, shown} {
			if strings.Contains(strings.ToLower(text), "@everyone") || strings.ContainsAny(text, "<>`") {
				t.Errorf("%q", text)
			}
		}
	})
}

// FuzzURL holds that no URL is echoed by an error.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"slack://hunter2secret@c", "smtp://u:hunter2secret@h/?x=1", "generic+https://h/hunter2secret?%zz", "x", "://", "generic://u:hu-nt-er-2s@h/?hunter2secret", "smtp://h/?to=hunter2secret&auth=hunter2secret"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !strings.Contains(raw, "hunter2secret") {
			t.Skip()
		}
		if _, err := newService("urls[0]", raw); err != nil && strings.Contains(err.Error(), "hunter2secret") &&
			!strings.Contains(raw, "to=") && !strings.Contains(raw, "from") { // addresses are named
			t.Errorf("%q: %v", raw, err)
		}
	})
}

func TestMemory(t *testing.T) {
	m := remembered[int]{life: time.Hour, size: 4}
	now := time.Unix(1_800_000_000, 0)
	m.set(1, 10, now)
	for _, step := range []struct {
		after time.Duration
		known bool
	}{{0, true}, {time.Hour, true}, {50 * time.Minute, true}, {11 * time.Minute, false}} {
		now = now.Add(step.after)
		if v, ok := m.get(1, now); ok != step.known || ok && v != 10 {
			t.Errorf("after %v: %v", step.after, ok)
		}
	}
	for k := range uint64(100) {
		m.set(k, 1, now)
		if len(m.now)+len(m.old) > 8 {
			t.Fatal("more than it may be")
		}
	}
	if _, ok := m.get(99, now); !ok {
		t.Error("the latest is forgotten")
	}
	if _, ok := m.get(1, now); ok {
		t.Error("the first is remembered")
	}
	if _, ok := m.get(99, now.Add(-time.Minute)); ok {
		t.Error("remembered by a clock that was set back")
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
