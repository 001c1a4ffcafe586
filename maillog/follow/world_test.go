package follow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/guard"
)

// counts is a Judge that notes who was counted how often. It stands for the
// guard, which is held to its own tests, so that every single line can be seen.
type counts struct {
	mu       sync.Mutex
	of       map[string]int      // by login
	ids      map[string][]uint64 // by login
	all      []guard.Attempt
	failing  bool
	reported map[string]bool
}

func newCounts() *counts {
	return &counts{of: map[string]int{}, ids: map[string][]uint64{}, reported: map[string]bool{}}
}

func (c *counts) Apply(ctx context.Context, as []guard.Attempt, out []guard.Verdict) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing {
		return errors.New("the store is away")
	}
	if len(as) != len(out) || len(as) == 0 || len(as) > batchSize+10 {
		return fmt.Errorf("%d attempts and %d verdicts", len(as), len(out))
	}
	for _, a := range as {
		c.of[a.Login]++
		c.ids[a.Login] = append(c.ids[a.Login], a.ID)
	}
	if len(c.all) < 10_000 {
		c.all = append(c.all, as...)
	}
	return nil
}

func (c *counts) Reported(service string, _ time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reported[service]
}

func (c *counts) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.of)
}

// world is a directory with a log, and a follower of it that can be stopped and
// started.
type world struct {
	*testing.T
	dir, state, log string
	config          Config
	counts          *counts
	judge           Judge
	logs            *observer.ObservedLogs
	metrics         *prometheus.Registry
	follower        *Follower
	stop            func()
	written         int
}

func testConfig(files ...string) Config {
	return Config{Files: files, Services: []string{"smtp", "imap", "pop3", "sieve", "other"}, DovecotLines: "login"}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, state: t.TempDir(), log: filepath.Join(dir, "mail.log"), counts: newCounts()}
	w.judge = w.counts
	w.config = testConfig(w.log)
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		if t.Failed() && w.logs != nil {
			for _, e := range w.logs.All() {
				t.Log(e.Level, e.Message, e.ContextMap())
			}
		}
	})
	return w
}

// start follows, and returns once it is known where from.
func (w *world) start() {
	w.Helper()
	core, logs := observer.New(zap.DebugLevel)
	w.logs, w.metrics = logs, prometheus.NewRegistry()
	var err error
	w.follower, err = New(w.config, Options{Judge: w.judge, Directory: w.state, Logger: zap.New(core), Registerer: w.metrics})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.follower.Run(ctx) }()
	w.stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.Error(err)
			}
		case <-time.After(20 * time.Second):
			w.Error("it does not stop")
		}
		w.stop = nil
	}
	w.eventually("it begins", func() bool {
		w.follower.mu.Lock()
		defer w.follower.mu.Unlock()
		for _, s := range w.follower.sources {
			s.mu.Lock()
			begun := s.turns > 0
			s.mu.Unlock()
			if !begun {
				return false
			}
		}
		return len(w.follower.sources) > 0 || len(w.config.Files) == 0
	})
}

func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("never: %s (%d of %d counted)", what, w.counts.total(), w.written)
		}
	}
}

// line is a line of the log that stands for the n-th attempt.
func line(n int) string { return string(appendLine(nil, stamp(), n)) }

func stamp() string { return time.Now().Format("2006-01-02T15:04:05.000000-07:00") }

// appendLine makes no use of fmt, since a million lines shall take no time.
func appendLine(b []byte, stamp string, n int) []byte {
	b = append(b, stamp...)
	b = append(b, " mx postfix/smtpd["...)
	b = strconv.AppendInt(b, int64(n%30000+1), 10)
	b = append(b, "]: warning: unknown[192.0.2."...)
	b = strconv.AppendInt(b, int64(n%200+1), 10)
	b = append(b, "]: SASL LOGIN authentication failed: authentication failure, sasl_username=user"...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, "@example.org\n"...)
}

func login(n int) string { return "user" + strconv.Itoa(n) + "@example.org" }

// next are the next n lines.
func (w *world) next(n int) string {
	var b []byte
	now := stamp()
	for range n {
		w.written++
		b = appendLine(b, now, w.written)
	}
	return string(b)
}

// write appends text to the log as a program does that opens it for each line.
func (w *world) write(path, text string) {
	w.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	w.ok(err)
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// complete waits until all that was written is counted, and wants each of it to
// be counted once.
func (w *world) complete() {
	w.Helper()
	w.eventually("all is counted", func() bool { return w.counts.total() >= w.written })
	w.once()
}

func (w *world) once() {
	w.Helper()
	w.counts.mu.Lock()
	defer w.counts.mu.Unlock()
	wrong := 0
	for n := 1; n <= w.written && wrong < 5; n++ {
		if got := w.counts.of[login(n)]; got != 1 {
			w.Errorf("line %d was counted %d times", n, got)
			wrong++
		}
	}
	if len(w.counts.of) != w.written {
		w.Errorf("%d attempts were counted, %d written", len(w.counts.of), w.written)
	}
}

// said tells whether a message was logged.
func (w *world) said(text string) bool {
	for _, e := range w.logs.All() {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// metric is the sum of the series of a metric whose first label has a value.
func (w *world) metric(name, label string) float64 {
	w.Helper()
	all, err := w.metrics.Gather()
	w.ok(err)
	found, sum := false, 0.0
	for _, f := range all {
		if f.GetName() != "saslguard_maillog_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if !found {
		w.Fatalf("there is no metric %s %s", name, label)
	}
	return sum
}
