package eventlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/eventlog/archive"
)

// What one log hands to the archive, the next one has in front of its own.
func TestKeptEvents(t *testing.T) {
	first, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	s := first.Stream()
	s.Restore(slices.Values([]archive.Line(nil)), time.Time{})
	began := c.Now()
	var lines []archive.Line
	add := func(l *Log, from, to int) {
		for i := from; i < to; i++ {
			l.Add(attempt(c.Now(), fmt.Sprintf("10.0.%d.%d", i/250, i%250), "a", "failure"))
			c.advance(time.Millisecond)
		}
	}
	add(first, 0, 800)
	lines = append(lines, s.Take(300)...)
	add(first, 800, 1200) // goes round, over none that was not taken
	for more := s.Take(300); len(more) > 0; more = s.Take(300) {
		lines = append(lines, more...)
	}
	if len(lines) != 1200 {
		t.Fatalf("%d lines of 1200", len(lines))
	}
	lines[7].Text = []byte("{")

	second, err := New(first.config, Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	s = second.Stream()
	add(second, 1200, 1210)
	s.Restore(slices.Values(lines[300:]), began)
	p := second.Read(t.Context(), Filter{}, 10_000)
	if n := len(p.Events); n != 910 || p.Events[0].Address != "10.0.1.50" || p.Events[n-1].Address != "10.0.4.209" || !p.Since.Equal(began) {
		t.Errorf("%d events since %v", len(p.Events), p.Since)
	}
	if more := s.Take(100); len(more) != 10 || !strings.Contains(string(more[0].Text), "10.0.4.200") {
		t.Errorf("%d lines are new", len(more))
	}
	add(second, 1210, 1310)
	if p := second.Read(t.Context(), Filter{}, 10_000); len(p.Events) != 1000 || p.Events[0].Address != "10.0.1.60" || p.Since.Equal(began) {
		t.Errorf("%d events from %s since %v", len(p.Events), p.Events[0].Address, p.Since)
	}
}

// A log that keeps nothing has the archive keep nothing.
func TestNoLogHasNothingKept(t *testing.T) {
	if s := (*Log)(nil).Stream(); s.Max != 0 || s.Name != "events" || s.Take != nil {
		t.Errorf("%+v", s)
	}
}
