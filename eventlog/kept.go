package eventlog

import (
	"iter"
	"time"

	"github.com/saslguard/saslguard/eventlog/archive"
	"github.com/saslguard/saslguard/store"
)

// kibibyte is what the archive has for each event; one takes about half of it.
const kibibyte = 1 << 10

// Stream is what the archive keeps of the log over restarts; of a nil Log nothing,
// so that what an earlier one kept goes. It is called once, before Run, and whoever
// reads waits for the archive from then on.
func (l *Log) Stream() archive.Stream {
	s := archive.Stream{Name: "events"}
	if l == nil {
		return s
	}
	l.restored = make(chan struct{})
	s.Max, s.Octets, s.Keep = l.config.Max, int64(l.config.Max)*kibibyte, l.config.Keep
	s.Restore, s.Take = l.restore, l.take
	return s
}

// restore puts the events of before the start in front of those since.
func (l *Log) restore(lines iter.Seq[archive.Line], since time.Time) {
	defer close(l.restored)
	oldest := l.now().Add(-l.config.Keep)
	var all []Event
	for line := range lines {
		if e, ok := decode(&store.Line{Text: line.Text}); ok && !e.At.Before(oldest) {
			all = append(all, e)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !since.IsZero() {
		l.began = since
	}
	all = append(all, l.ordered()...)
	if beyond := len(all) - l.config.Max; beyond > 0 {
		l.began = all[beyond-1].At
		all = append(make([]Event, 0, l.config.Max), all[beyond:]...)
	}
	l.ring, l.next = all, 0
}

// take returns the next events that the archive does not have.
func (l *Log) take(n int) []archive.Line {
	l.mu.Lock()
	n = min(n, l.unsaved)
	latest := l.oldest(n, l.unsaved)
	l.unsaved -= n
	l.mu.Unlock()
	lines := make([]archive.Line, 0, n)
	for i, text := range encode(latest) {
		lines = append(lines, archive.Line{At: latest[i].At, Text: text})
	}
	return lines
}
