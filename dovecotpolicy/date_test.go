package dovecotpolicy

import (
	"net/http"
	"testing"
	"time"
)

func TestDates(t *testing.T) {
	now := time.Date(2026, 7, 24, 12, 0, 0, 500e6, time.UTC)
	for _, c := range []struct {
		seconds int // from the Date to 12:00:00, half a second before now
		stale   bool
		back    bool
	}{
		{0, false, false},
		{-60, false, false}, // another host's clock
		{1, false, false},
		{2, false, true}, // made up to a second after its Date
		{3, true, true},
		{599, true, true},
		{600, true, false}, // a wrong clock
	} {
		made := now.Truncate(time.Second).Add(-time.Duration(c.seconds) * time.Second)
		judge := new(fakeJudge)
		a, set := newTestAnswerer(t, testConfig(), judge)
		date := []byte(made.Format(http.TimeFormat))
		a.answer(set, &request{allow, date, []byte(benchAllow)}, now)
		a.answer(set, &request{report, date, []byte(benchReport)}, now)
		seen := judge.seen()
		if seen[0].Stale != c.stale || seen[1].Stale {
			t.Errorf("%d s: stale %t, want %t", c.seconds, seen[0].Stale, c.stale)
		}
		want := time.Time{}
		if c.back {
			want = made
		}
		if !seen[1].At.Equal(want) || !seen[0].At.IsZero() {
			t.Errorf("%d s: dated %v, want %v", c.seconds, seen[1].At, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	for day := time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC); day.Year() < 2031; day = day.AddDate(0, 0, 17).Add(3671 * time.Second) {
		if got, ok := parseDate([]byte(day.Format(http.TimeFormat))); !ok || !got.Equal(day) {
			t.Fatalf("%v: %v", day, got)
		}
	}
	for _, text := range []string{"", "now", "Sun, 06 Nov 1994 08:49:37 UTC", "Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08-49:37 GMT", "Sun, 06 Nov 199x 08:49:37 GMT"} {
		if got, ok := parseDate([]byte(text)); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
