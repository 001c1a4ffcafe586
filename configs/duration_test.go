package configs

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "200ms": 200 * time.Millisecond, "90s": 90 * time.Second, "10m": 10 * time.Minute,
		"4h": 4 * time.Hour, "30d": 30 * day, "2w": 14 * day, "1d12h": 36 * time.Hour, "1.5h": 90 * time.Minute,
		"0.1s": 100 * time.Millisecond, "1h30m": 90 * time.Minute, "36500d": 36500 * day,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"":            "is no time",
		"4":           "give a unit, such as 4s, 4m or 4h (",
		"59":          "such as 59s, 59m or 59h (",
		"60":          "such as 60s or 1m (",
		"3600":        "such as 3600s or 1h (",
		"90.5":        "such as 90s, 10m or 4h (",
		"99999999999": "such as 90s, 10m or 4h (",
		"1,5h":        "is no time; decimals are written with a point, such as 1.5h",
		"1d12":        "has no unit",
		"1.2.3h":      "is no time",
		"h":           "is no time",
		"4 h":         "is no time",
		"4x":          "known are ms, s, m, h, d and w",
		"4H":          "is no time",
		"-4h":         "is negative",
		"1e3s":        `has the unit "e"`,
		"36501d":      "is too long",
		"36500d1s":    "is too long",
		"9e99d":       "has the unit",
		"99999999999999999999999999999999999999999999d": "is too long",
		"99999d99999d":              "is too long",
		strings.Repeat("9", 400):    "is no time",
		"1h" + "\x00":               "is no time",
		"forever":                   "is no time",
		strings.Repeat("99999d", 9): "is too long",
	} {
		if got, err := ParseDuration(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want %q", s, got, err, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "200ms": 200 * time.Millisecond, "1s500ms": 1500 * time.Millisecond, "5m30s": 330 * time.Second,
		"1d12h": 36 * time.Hour, "30d": 720 * time.Hour,
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
		if got, err := ParseDuration(want); err != nil || got != d {
			t.Errorf("%s is %v, %v, want %v", want, got, err, d)
		}
	}
}
