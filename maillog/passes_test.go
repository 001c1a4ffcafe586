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

// twins are two parsers of one log: one skims, the other parses every line.
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
	var q Reading
	at, ok := w.quick.Skim([]byte(line), &q, func(a guard.Attempt) { got = append(got, a) })
	if ok {
		w.passed++
		if r.Class != Other || r.Why != "" || !at.Equal(r.Line.At) || at.Format(time.RFC3339Nano) != r.Line.At.Format(time.RFC3339Nano) || len(want) > 0 {
			t.Fatalf("%q passes at %v, and is read as %+v with %d attempts", line, at, r, len(want))
		}
		return
	}
	if !at.Equal(r.Line.At) || !reflect.DeepEqual(q, r) || !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is read as\n%+v %+v, want\n%+v %+v", line, q, got, r, want)
	}
}

// readAfter has both read a line as the lines of a log that has gone on for a while
// are read, and then what would tell whether they remember the same.
func (w *twins) readAfter(t *testing.T, line string) {
	t.Helper()
	at := "2026-11-22T10:00:07.123456+01:00 mx "
	if line != "" && line[0] > '9' {
		at = "Nov 22 10:00:07 mx "
	}
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

// FuzzSkim has both read any line after those of a log.
func FuzzSkim(f *testing.F) {
	for _, line := range quiet {
		f.Add(line)
	}
	for _, line := range []string{
		"Nov 22 10:00:08 mx postfix/smtpd[77]: 4F1234ABCD: client=unknown[192.0.2.7], sasl_method=PLAIN, sasl_username=alice",
		"Nov 22 10:00:08 mx postfix/smtpd[77]: 4F1234ABCD: client=unknown[192.0.2.7]", "Nov 22 10:00:08 mx postfix/smtpd[77]: lost connection after AUTH from unknown[192.0.2.7]",
		"2026-11-22T10:00:59.999999+01:00 mx postfix/smtpd[77]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: x, sasl_username=alice",
		"2026-11-22T10:00:08.123456+01:00 mx dovecot: imap(a)<1><x>: Logged out", "2026-11-22T10:00:08.123456+01:00 mx dovecot: imap-login: Login: user=<a>, rip=192.0.2.7",
	} {
		f.Add(line)
	}
	o := Options{Location: time.UTC, Latest: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	f.Fuzz(func(t *testing.T, line string) {
		w := newTwins(o)
		w.readAfter(t, line)
		w.readAfter(t, line)
	})
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
			// The same as rsyslog and other syslogs write it, and with a byte of it changed.
			parsed := l.parser.Parse([]byte(line.text), func(guard.Attempt) {})
			if parsed.Class == Malformed || parsed.Line.Program == "" {
				continue
			}
			rest := fmt.Sprintf(" mx %s[%d]: %s", parsed.Line.Program, 1+r.IntN(2), parsed.Line.Message)
			for _, text := range []string{fmt.Sprintf("2026-11-22T10:00:08.%06d+01:00", r.IntN(1e6)) + rest, fmt.Sprintf("Nov 22 10:00:%02d", r.IntN(60)) + rest} {
				among.readAfter(t, text)
				for range 10 {
					b := []byte(text)
					b[r.IntN(len(b))] = "\x00 :[]0a=TZ+.,(\xff"[r.IntN(15)]
					among.readAfter(t, string(b))
				}
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
		"2026-11-22T10:00:67.123456+01:00", "2026-11-22T10:00:/7.123456+01:00", "2026-11-22T10:00::7.123456+01:00", "2026-11-22T10:00:07.12:456+01:00", "2026-11-22T10:00:07.12/456+01:00",
		"2026-11-22T10:00:07.\xff23456+01:00", "2026-11-22T10:00:07.12345\x80+01:00", "2026-11-22T10:00:0\xb0.123456+01:00", "2026-11-22T10:00:07/123456+01:00", "2026-11-22T10:00;07.123456+01:00",
		"Nov 22 10:00:07", "Nov 22 10:00:60", "Nov 22 10:00:61", "Nov 22 10:00:7", "Nov 22 10:00:07.5", "Nov 22 10:00:07:", "Nov 22 10:01:07", "Nov  2 10:00:07", "Nov 2 10:00:07", "Nov 32 10:00:07", "Nox 22 10:00:07", "Feb 29 10:00:07", "Mon Nov 22 10:00:07",
	} {
		for _, rest := range []string{" mx postfix/smtpd[77]: connect from unknown[192.0.2.7]", " mx postfix/qmgr[5]: x", " mx postfix/qmgr[5]x: x", " mx postfix/qmgr[]: x", " mx dovecot: x", " mx dovecot:x", "", " "} {
			newTwins(Options{}).readAfter(t, at+rest)
			newTwins(Options{}).readAfter(t, " "+at+rest)
		}
	}
}

// Of a log as it is most lines pass, or nothing is gained.
func TestMostLinesPass(t *testing.T) {
	for _, old := range []bool{false, true} {
		var log bytes.Buffer
		if _, err := traffic.Write(&log, traffic.Options{Lines: 20_000, Seed: 1, IPv6: true, Dovecot: true, Span: time.Hour, Old: old}); err != nil {
			t.Fatal(err)
		}
		w, n := newTwins(Options{Location: time.UTC}), 0
		for line := range bytes.Lines(log.Bytes()) {
			w.read(t, string(bytes.TrimSuffix(line, []byte("\n"))))
			n++
		}
		if w.passed < n*4/5 {
			t.Errorf("%d lines of %d pass", w.passed, n)
		}
	}
}
