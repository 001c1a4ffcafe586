// Package archive keeps streams of lines over restarts: the log of events and the
// changes that operators made, in a bbolt file of their own in the state directory.
//
// Nobody waits for the disk. Whoever makes lines keeps them in memory; one
// goroutine takes what is new every second and writes it in transactions of a
// bounded size. A host that dies loses what happened in its last seconds. A stream
// is bounded by number, size and age; what is beyond goes, the oldest first.
//
// On failure: a damaged file is set aside and a new one begun (package boltfile).
// Where it cannot be opened nothing is kept, and it is said; where it cannot be
// written it is tried again, and what memory has lost meanwhile is not written.
package archive

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store/boltfile"
)

// Line is a text and when it was written. In memory that is the archive's it holds
// until the call returns.
type Line struct {
	At   time.Time
	Text []byte
}

// Stream is what a maker of lines wants of the archive. Its functions are called
// by one goroutine.
type Stream struct {
	Name   string        // of at least one letter; no two streams share one
	Max    int           // lines that are kept; 0: none, and those that are there go
	Octets int64         // of all lines together
	Keep   time.Duration // how long a line is kept
	// Restore is called once, before Take, with what was kept before, the oldest
	// first, and since when all that happened is in it: the zero time where nothing
	// was kept. nil: nobody wants it.
	Restore func(lines iter.Seq[Line], since time.Time)
	// Take returns the next lines to be kept, at most n, the oldest first.
	Take func(n int) []Line
}

// Options are what New needs beside the path.
type Options struct {
	Now        func() time.Time // nil: time.Now
	Every      time.Duration    // how often new lines are written; 0: a second
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: not measured
}

// Archive is the file and what is kept in it.
type Archive struct {
	path    string
	options Options
	failed  prometheus.Counter
	streams []*stream
	file    *boltfile.File // nil until it is open
	health  atomic.Pointer[func() (bool, string)]
}

// The bounds of one transaction.
const (
	takeLines = 1000 // that are written
	trimLines = 5000 // that go
)

// New returns an archive of streams that has not been opened yet.
func New(path string, o Options, streams ...Stream) (*Archive, error) {
	a := &Archive{path: path, options: o, failed: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "saslguard_events_file_errors_total", Help: "Writes to the file of events and changes that failed.",
	})}
	if a.options.Now == nil {
		a.options.Now = time.Now
	}
	if a.options.Every <= 0 {
		a.options.Every = time.Second
	}
	for i := range streams {
		a.streams = append(a.streams, &stream{Stream: streams[i]})
	}
	a.tell(func() (bool, string) { return true, "being read" })
	if o.Registerer != nil {
		if err := o.Registerer.Register(a.failed); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	return a, nil
}

func (a *Archive) tell(health func() (bool, string)) { a.health.Store(&health) }

// Health tells whether lines reach the disk, and in a few words which file that is,
// or why they do not.
func (a *Archive) Health() (ok bool, detail string) { return (*a.health.Load())() }

// Run opens the file, restores the streams, and writes what is new until ctx ends,
// and then once more.
func (a *Archive) Run(ctx context.Context) error {
	if err := a.open(); err != nil {
		a.options.Logger.Error("events and changes are not kept over a restart", zap.Error(err))
		a.tell(func() (bool, string) { return false, err.Error() })
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(a.options.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.save()
		case <-ctx.Done():
			a.save()
			return a.file.Close()
		}
	}
}

// open opens the file and restores the streams, without what was kept if that
// cannot be read.
func (a *Archive) open() error {
	file, err := boltfile.Open(a.path, boltfile.Options{
		What: "file of events", Lost: "the events and changes in it", Unwritten: "what happens from now on is not known after a restart",
		Prepare: a.prepare, Failed: a.failed.Inc, Now: a.options.Now, Logger: a.options.Logger,
	})
	if err == nil {
		a.file = file
		a.tell(file.Health)
		for _, s := range a.streams {
			a.restore(s)
		}
		return nil
	}
	for _, s := range a.streams {
		s.restore(nothing, time.Time{})
	}
	return err
}

func nothing(func(Line) bool) {}

// restore hands a stream what was kept of it.
func (a *Archive) restore(s *stream) {
	err := a.file.View(func(tx *bbolt.Tx) error { return s.load(tx) })
	for more := true; err == nil && more; {
		more, err = s.write(a.file, a.options.Now())
	}
	if err == nil {
		err = a.file.View(func(tx *bbolt.Tx) error {
			s.restore(func(yield func(Line) bool) { s.each(tx, yield) }, s.kept.since)
			return nil
		})
	}
	if err != nil {
		a.options.Logger.Error("what was kept cannot be read", zap.String("file", a.path), zap.String("stream", s.Name), zap.Error(err))
	}
	s.restore(nothing, time.Time{})
	if s.torn > 0 {
		a.options.Logger.Error("lines of the file of events cannot be read: they are skipped",
			zap.String("file", a.path), zap.String("stream", s.Name), zap.Int("lines", s.torn))
	}
}

// save writes what is new and lets go of what is beyond the bounds.
func (a *Archive) save() {
	failures := a.file.Failures()
	for _, s := range a.streams {
		for more := true; more; {
			var err error
			if more, err = s.write(a.file, a.options.Now()); err != nil {
				return // counted and logged by the file
			}
		}
	}
	_ = a.file.Settle(failures) // the same
}
