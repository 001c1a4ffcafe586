// Package traffic makes up the log of a mail server's days: people who send and
// fetch mail, mail that comes in, and those who guess passwords. It knows how often
// each client failed, so that whoever reads the log can be held to it.
//
// The same options give the same log, byte for byte.
package traffic

import (
	"bufio"
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Options say what a log is like. The zero value of a field is its default.
type Options struct {
	Lines    int           // about how many; 100,000
	Start    time.Time     // 2026-11-22 00:00:00 UTC
	Span     time.Duration // from the first line to the last; 7 days
	Seed     uint64
	Old      bool // timestamps of RFC 3164 instead of ISO 8601
	Guessers int  // clients that guess without a pause; 400
	Botnet   int  // clients of a botnet, a guess each now and then; 5,000
	IPv6     bool // some guessers come by IPv6
	Dovecot  bool // people fetch mail by IMAP, and some guess there
}

func (o Options) filled() Options {
	if o.Lines <= 0 {
		o.Lines = 100_000
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	}
	if o.Span <= 0 {
		o.Span = 7 * 24 * time.Hour
	}
	if o.Guessers <= 0 {
		o.Guessers = 400
	}
	if o.Botnet <= 0 {
		o.Botnet = 5000
	}
	return o
}

// Truth is what a log tells of.
type Truth struct {
	Lines     int
	Failures  map[netip.Addr]int // that Postfix logged, by client
	Dovecot   map[netip.Addr]int // that Dovecot logged
	Successes int
}

// generator writes lines in the order of their times. Scenes of several lines run
// at the same time, as processes of a mail server do.
type generator struct {
	Options
	rand  *rand.Rand
	w     *bufio.Writer
	now   time.Time
	later schedule
	order int
	truth Truth

	people   []string // accounts that exist
	homes    []netip.Addr
	guessers []guesser
	bots     []netip.Addr
	pid      int
}

// Write writes a log and returns what it tells of.
func Write(w io.Writer, o Options) (Truth, error) {
	o = o.filled()
	g := &generator{
		Options: o, rand: rand.New(rand.NewPCG(o.Seed, 42)), w: bufio.NewWriterSize(w, 1<<16), now: o.Start,
		truth: Truth{Failures: map[netip.Addr]int{}, Dovecot: map[netip.Addr]int{}}, pid: 1000,
	}
	g.populate()
	step := o.Span / time.Duration(o.Lines)
	for g.truth.Lines < o.Lines {
		g.scene()
		// A scene has several lines, and the clock goes on until they are written.
		for g.truth.Lines < o.Lines && g.later.Len() > 40 {
			g.emit(step)
		}
	}
	return g.truth, g.w.Flush()
}

// emit writes the next line that is due.
func (g *generator) emit(step time.Duration) {
	l := heap.Pop(&g.later).(line)
	if l.at.After(g.now) {
		g.now = l.at
	}
	g.now = g.now.Add(time.Duration(g.rand.Int64N(int64(2*step) + 1)))
	g.truth.Lines++
	if g.Old {
		fmt.Fprintf(g.w, "%s mx1 %s\n", g.now.Format("Jan _2 15:04:05"), l.text)
	} else {
		fmt.Fprintf(g.w, "%s mx1 %s\n", g.now.Format("2006-01-02T15:04:05.000000-07:00"), l.text)
	}
	switch {
	case l.failed.IsValid():
		g.truth.Failures[l.failed]++
	case l.dovecot.IsValid():
		g.truth.Dovecot[l.dovecot] += l.count
	case l.success:
		g.truth.Successes++
	}
}

// line is a line to be written, and what it tells.
type line struct {
	at      time.Time
	order   int
	text    string
	failed  netip.Addr // Postfix tells of a failure of this client
	dovecot netip.Addr // Dovecot tells of count failures
	count   int
	success bool
}

// schedule is the lines of scenes under way; it implements heap.Interface.
type schedule []line

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	if !s[i].at.Equal(s[j].at) {
		return s[i].at.Before(s[j].at)
	}
	return s[i].order < s[j].order
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(line)) }
func (s *schedule) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	*s = (*s)[:last]
	return x
}

// say schedules a line of a scene.
func (g *generator) say(l line, format string, args ...any) {
	g.order++
	l.order, l.text = g.order, fmt.Sprintf(format, args...)
	heap.Push(&g.later, l)
}
