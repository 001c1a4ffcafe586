package maillog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/test/loggen/traffic"
)

// twins are two parsers of one log: one is asked whether a line passes before it
// parses it, the other parses every line.
type twins struct {
	quick, full *Parser
	passed      int
}

func newTwins(o Options) *twins { return &twins{quick: New(o), full: New(o)} }

// read fails unless both read a line alike.
func (w *twins) read(t *testing.T, line string) {
	t.Helper()
	var got, want []guard.Attempt
	r := w.full.Parse([]byte(line), func(a guard.Attempt) { want = append(want, a) })
	if at, ok := w.quick.Passes([]byte(line)); ok {
		w.passed++
		if r.Class != Other || r.Why != "" || !at.Equal(r.Line.At) || at.Format(time.RFC3339Nano) != r.Line.At.Format(time.RFC3339Nano) || len(want) > 0 {
			t.Fatalf("%q passes at %v, and is read as %+v with %d attempts", line, at, r, len(want))
		}
		return
	}
	q := w.quick.Parse([]byte(line), func(a guard.Attempt) { got = append(got, a) })
	if !reflect.DeepEqual(q, r) || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is read as\n%+v %+v, want\n%+v %+v", line, q, got, r, want)
	}
}

// readAfter has both read a line as the lines of a log that has gone on for a while
// are read, and then what would tell whether they remember the same.
func (w *twins) readAfter(t *testing.T, line string) {
	t.Helper()
	const at = "2026-11-22T10:00:07.123456+01:00 mx "
	for _, text := range []string{
		at + "postfix/smtpd[77]: connect from unknown[192.0.2.7]", at + "postfix/qmgr[5]: 4F1234ABCD: removed", at + "dovecot: imap(a)<1><x>: Logged out",
		at + "postfix/smtpd[77]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: x, sasl_username=alice",
		line,
		at + "last message repeated 3 times",
		line,
		at + "postfix/smtpd[77]: message repeated 2 times: [ warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: x, sasl_username=alice]",
	} {
		w.read(t, text)
	}
}

// What passes is what Parse reads as Other, and it leaves the parser as that would.
func TestPassesAgreesWithParse(t *testing.T) {
	files, err := filepath.Glob(logs + "/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, file := range files {
		l := openLog(t, file)
		asItIs, among := newTwins(l.options), newTwins(l.options)
		for _, line := range l.lines {
			asItIs.read(t, line.text)
			among.readAfter(t, line.text)
			// The same as rsyslog writes it, and with a byte of it changed.
			parsed := l.parser.Parse([]byte(line.text), func(guard.Attempt) {})
			if parsed.Class == Malformed || parsed.Line.Program == "" {
				continue
			}
			text := fmt.Sprintf("2026-11-22T10:00:08.%06d+01:00 mx %s[%d]: %s", r.IntN(1e6), parsed.Line.Program, 1+r.IntN(2), parsed.Line.Message)
			among.readAfter(t, text)
			for range 20 {
				b := []byte(text)
				b[r.IntN(len(b))] = "\x00 :[]0a=TZ+.\xff"[r.IntN(13)]
				among.readAfter(t, string(b))
			}
		}
		if among.passed == 0 {
			t.Errorf("%s: no line passes", file)
		}
	}
}

// Times that differ from those before them in one place.
func TestPassesInItsMinute(t *testing.T) {
	for _, at := range []string{
		"2026-11-22T10:00:07.123456+01:00", "2026-11-22T10:00:60.123456+01:00", "2026-11-22T10:00:61.123456+01:00", "2026-11-22T10:00:99.123456+01:00",
		"2026-11-22T10:00:7x.123456+01:00", "2026-11-22T10:01:07.123456+01:00", "2026-11-22 10:00:07.123456+01:00", "2026-11-22T10:00:07,123456+01:00",
		"2026-11-22T10:00:07.12345+01:00", "2026-11-22T10:00:07.1234567+01:00", "2026-11-22T10:00:07+01:00", "2026-11-22T10:00:07.12345x+01:00",
		"2026-11-22T10:00:07.123456+02:00", "2026-11-22T10:00:07.123456+0100", "2026-11-22T10:00:07.123456Z", "2026-11-22T10:00:07.123456", "2026-11-22T10:00:07.",
		"2026-11-22T10:00:07.123456 +01:00", "2026-11-22T10:00:07.123456+01:00:", "2026-11-22T10:00:07.123456+01:000", "2026-11-22T10:00:07.123456+01:00 ",
		"2026-11-22T10:00:07.123456+01:00 stdout F 2026-11-22T10:00:07.123456+01:00", "", "T",
	} {
		for _, rest := range []string{" mx postfix/smtpd[77]: connect from unknown[192.0.2.7]", " mx postfix/qmgr[5]: x", " mx postfix/qmgr[5]x: x", " mx postfix/qmgr[]: x", " mx dovecot: x", " mx dovecot:x", "", " "} {
			newTwins(Options{}).readAfter(t, at+rest)
			newTwins(Options{}).readAfter(t, " "+at+rest)
		}
	}
}

// Of a log as it is most lines pass, or nothing is gained.
func TestMostLinesPass(t *testing.T) {
	var log bytes.Buffer
	if _, err := traffic.Write(&log, traffic.Options{Lines: 20_000, Seed: 1, IPv6: true, Dovecot: true, Span: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w, n := newTwins(Options{}), 0
	for line := range bytes.Lines(log.Bytes()) {
		w.read(t, string(bytes.TrimSuffix(line, []byte("\n"))))
		n++
	}
	if w.passed < n/2 {
		t.Errorf("%d lines of %d pass", w.passed, n)
	}
}
