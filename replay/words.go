package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// number writes a number as people read it: 1,234,567.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a number of things: 1 line, 2 lines.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + one + "s"
}

// share is a part in whole per cent. What is not all of it is not called 100.
func share(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	percent := part * 100 / whole
	if percent == 0 && part > 0 {
		return "under 1 %"
	}
	return strconv.Itoa(percent) + " %"
}

// short writes a duration with its two largest units: 3d4h, 5m10s, 0s.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	const day = 24 * time.Hour
	units := []struct {
		span time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var b strings.Builder
	left := 2
	for _, u := range units {
		if n := d / u.span; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.span
		} else if b.Len() == 0 {
			continue
		}
		if left--; left == 0 {
			break
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// after is how long after another a time was: +5m10s, and "-" for never.
func after(t, since time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return "+" + short(t.Sub(since))
}

// clipped makes a hostile text fit for a column: printable ASCII, cut.
func clipped(s string, width int) string {
	s = guard.Printable(s)
	if len(s) > width {
		s = s[:width-3] + "..."
	}
	return s
}

// printable makes a hostile line fit for a terminal: printable ASCII on one line,
// everything else escaped as in Go, cut at a number of bytes.
func printable(s string, most int) string {
	cut := ""
	if len(s) > most {
		s, cut = s[:most], fmt.Sprintf(" (and %s)", counted(len(s)-most, "more byte"))
	}
	q := strconv.QuoteToASCII(s)
	// A quote or a backslash of the line itself stays as it is.
	q = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(q[1 : len(q)-1])
	return q + cut
}
