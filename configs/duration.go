package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds what can be written: a hundred years of 365 days.
const maxDuration = 100 * 365 * 24 * time.Hour

// A unit of time, as it is written.
type unit struct {
	name string
	span time.Duration
}

// units are the units there are, the longest first.
func units() []unit {
	const day = 24 * time.Hour
	return []unit{{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
}

// ParseDuration reads a time such as 200ms, 90s, 10m, 4h, 30d, 2w or 1d12h. A
// number without a unit is an error, but for 0: the one who wrote 4 meant
// seconds, minutes or hours, and guessing would be wrong two times out of three.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	var sum time.Duration
	for rest := s; rest != "" || s == ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		letters := len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "abcdefghijklmnopqrstuvwxyz"))
		amount, name := rest[:digits], rest[digits:digits+letters]
		rest = rest[digits+letters:]
		n, err := strconv.ParseFloat(amount, 64)
		switch {
		case strings.HasPrefix(s, "-"):
			return 0, fmt.Errorf("%s is negative; allowed is a time such as 90s, 10m, 4h, 30d or 1d12h", quote(s))
		case strings.Contains(s, ","):
			return 0, fmt.Errorf("%s is no time; %s, such as 1.5h", quote(s), pointNotComma)
		case err != nil:
			return 0, fmt.Errorf("%s is no time; allowed is a time such as 90s, 10m, 4h, 30d or 1d12h", quote(s))
		case name == "" && rest == "":
			return 0, fmt.Errorf("%s has no unit; give a unit, such as %s (known are ms, s, m, h, d and w)", quote(s), withUnit(s, n))
		}
		d, err := times(n, name)
		if err != nil {
			return 0, fmt.Errorf("%s %w", quote(s), err)
		}
		if sum += d; sum > maxDuration {
			return 0, fmt.Errorf("%s is too long; allowed are at most 36500d", quote(s))
		}
	}
	return sum, nil
}

// times is n of a unit. It is at most a little more than maxDuration, so that
// the sum of two does not overflow.
func times(n float64, name string) (time.Duration, error) {
	for _, u := range units() {
		if u.name == name {
			return time.Duration(math.Round(min(n*float64(u.span), float64(maxDuration+time.Second)))), nil
		}
	}
	if name == "" {
		return 0, errors.New("is no time; allowed is a time such as 90s, 10m, 4h, 30d or 1d12h")
	}
	return 0, fmt.Errorf("has the unit %s; known are ms, s, m, h, d and w", quote(name))
}

// pointNotComma is for those who write two and a half as 2,5.
const pointNotComma = "decimals are written with a point"

// withUnit suggests what a number without a unit may have meant. A large one was
// most probably meant in seconds, as in the settings of other programs.
func withUnit(s string, n float64) string {
	switch seconds, err := times(n, "s"); {
	case n < 60:
		return fmt.Sprintf("%ss, %sm or %sh", clip(s), clip(s), clip(s))
	case err != nil || seconds > maxDuration || seconds%time.Second != 0:
		return "90s, 10m or 4h"
	default:
		return fmt.Sprintf("%ss or %s", clip(s), FormatDuration(seconds))
	}
}

// clip bounds a number that is repeated in a message.
func clip(s string) string { return s[:min(len(s), 20)] }

// FormatDuration writes a time as ParseDuration reads it, in days and less.
func FormatDuration(d time.Duration) string {
	if d <= 0 || d%time.Millisecond != 0 {
		return d.String()
	}
	var b strings.Builder
	for _, u := range units()[1:] {
		if n := d / u.span; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.span
		}
	}
	return b.String()
}
