package archive

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/test/fuzzing"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// maker makes lines and is given back those of before.
type maker struct {
	mu       sync.Mutex
	lines    []Line
	restored []string
	since    time.Time
	done     chan struct{}
}

func (m *maker) add(at time.Time, texts ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range texts {
		m.lines = append(m.lines, Line{At: at, Text: []byte(text)})
	}
}

func (m *maker) stream(name string, max int) Stream {
	m.done = make(chan struct{})
	return Stream{
		Name: name, Max: max, Octets: 1 << 20, Keep: time.Hour,
		Restore: func(lines iter.Seq[Line], since time.Time) {
			for l := range lines {
				m.restored = append(m.restored, string(l.Text))
			}
			m.since = since
			close(m.done)
		},
		Take: func(n int) []Line {
			m.mu.Lock()
			defer m.mu.Unlock()
			n = min(n, len(m.lines))
			taken := m.lines[:n]
			m.lines = m.lines[n:]
			return taken
		},
	}
}

// session runs an archive until stop is called.
func session(t *testing.T, path string, now func() time.Time, streams ...Stream) (a *Archive, logs *observer.ObservedLogs, stop func()) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	a, err := New(path, Options{Now: now, Every: time.Millisecond, Logger: zap.New(core)}, streams...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, logs, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// once runs a session in which these lines are made, and returns what was restored.
func once(t *testing.T, path string, now time.Time, max int, texts ...string) (m *maker, logs *observer.ObservedLogs) {
	t.Helper()
	m = &maker{}
	_, logs, stop := session(t, path, func() time.Time { return now }, m.stream("events", max))
	<-m.done
	m.add(now, texts...)
	stop()
	return m, logs
}

func TestLinesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	first, _ := once(t, path, noon, 100, "a", "b")
	if len(first.restored) != 0 || !first.since.Equal(noon) {
		t.Errorf("a new file: %v since %v", first.restored, first.since)
	}
	once(t, path, noon.Add(time.Minute), 100, "c")
	last, _ := once(t, path, noon.Add(2*time.Minute), 100)
	if got := strings.Join(last.restored, ""); got != "abc" || !last.since.Equal(noon) {
		t.Errorf("restored %q since %v", got, last.since)
	}
	// What is older than it is kept for goes, and so does what is beyond the bound.
	old, _ := once(t, path, noon.Add(time.Hour+30*time.Second), 100)
	if got := strings.Join(old.restored, ""); got != "c" {
		t.Errorf("after an hour %q", got)
	}
	if few, _ := once(t, path, noon.Add(61*time.Minute), 1, "d", "e", "f"); strings.Join(few.restored, "") != "c" {
		t.Errorf("of one that holds one %v", few.restored)
	}
	if few, _ := once(t, path, noon.Add(61*time.Minute), 1); strings.Join(few.restored, "") != "f" || !few.since.Equal(noon.Add(61*time.Minute)) {
		t.Errorf("of one that holds one %v since %v", few.restored, few.since)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// More than one transaction takes is bounded as well, by number and by size.
func TestManyLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	var texts []string
	for i := range 12_345 {
		texts = append(texts, fmt.Sprintf("%05d%s", i, strings.Repeat("x", 95)))
	}
	once(t, path, noon, 1_000_000, texts...)
	m, _ := once(t, path, noon, 1_000_000)
	const each = 8 + 100 + 4
	if len(m.restored) != 1<<20/each || m.restored[len(m.restored)-1] != texts[len(texts)-1] {
		t.Errorf("%d lines of %d octets in 1 MiB", len(m.restored), each)
	}
	if m, _ = once(t, path, noon, 3000); len(m.restored) != 3000 || m.restored[0] != texts[len(texts)-3000] {
		t.Errorf("%d lines of 3000", len(m.restored))
	}
}

// What nobody wants any more goes, and the other stream stays.
func TestAStreamThatIsSwitchedOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	clock := func() time.Time { return noon }
	events, audit := &maker{}, &maker{}
	_, _, stop := session(t, path, clock, events.stream("events", 10), audit.stream("audit", 10))
	events.add(noon, "private")
	audit.add(noon, "kept")
	stop()
	again := &maker{}
	_, _, stop = session(t, path, clock, Stream{Name: "events"}, again.stream("audit", 10))
	stop()
	if fmt.Sprint(again.restored) != "[kept]" {
		t.Errorf("restored %v", again.restored)
	}
	if m, _ := once(t, path, noon, 10); len(m.restored) != 0 {
		t.Errorf("still there: %v", m.restored)
	}
}

// A host that is killed has what was written a moment before: the file is copied
// while it is open.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	m := &maker{}
	_, _, stop := session(t, path, func() time.Time { return noon }, m.stream("events", 100))
	defer stop()
	<-m.done
	m.add(noon, "a", "b", "c")
	copied := filepath.Join(t.TempDir(), "events.db")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := once(t, copied, noon, 100); strings.Join(got.restored, "") == "abc" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the lines are not written")
		}
	}
}

// A truncated or garbled file never keeps anybody from starting: it is set aside, or
// loses only what was garbled.
func TestDamagedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	var texts []string
	for i := range 2000 {
		texts = append(texts, fmt.Sprintf("line %d %s", i, strings.Repeat("y", 300)))
	}
	once(t, path, noon, 10_000, texts...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, text := range texts {
		known[text] = true
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		b := append([]byte(nil), whole...)
		if i%3 == 0 {
			b = b[:1+r.IntN(len(b)-1)]
		} else {
			for range 1 + r.IntN(200) {
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			}
		}
		damaged := filepath.Join(t.TempDir(), "events.db")
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m, logs := once(t, damaged, noon, 10_000, "new")
		for _, text := range m.restored {
			if !known[text] {
				t.Fatalf("damage %d: restored %q", i, text)
			}
		}
		aside, _ := filepath.Glob(damaged + ".unusable-*")
		if len(m.restored) < len(texts) && logs.Len() == 0 || len(aside) > 0 && logs.FilterMessageSnippet("set aside").Len() != 1 {
			t.Errorf("damage %d: %d lines, %d set aside, and nothing is said of it: %v", i, len(m.restored), len(aside), logs.All())
		}
		if m, _ := once(t, damaged, noon, 10_000); len(m.restored) == 0 || m.restored[len(m.restored)-1] != "new" {
			t.Errorf("damage %d: nothing can be written afterwards", i)
		}
	}
}

// A place that cannot be written is said, and the streams go on without.
func TestNoPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	m := &maker{}
	a, logs, stop := session(t, path, time.Now, m.stream("events", 10))
	<-m.done
	stop()
	if ok, detail := a.Health(); ok || !strings.Contains(detail, path) || logs.FilterMessageSnippet("not kept").Len() != 1 {
		t.Errorf("%v %q, said %v", ok, detail, logs.All())
	}
}

// FuzzLine holds that a record which was not written is none.
func FuzzLine(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 8), make([]byte, 13))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00text\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if l := lineOf(key, value); l.Text != nil && (len(key) != 8 || len(l.Text) != len(value)-12) {
			t.Errorf("%x %x is %q", key, value, l.Text)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
