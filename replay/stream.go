package replay

import (
	"context"
	"errors"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/maillog/logfile"
	"github.com/saslguard/saslguard/score"
)

const (
	batchLines    = 4096 // a batch of attempts is handed on after so many lines,
	batchAttempts = 512  // or when it has so many attempts
	batchQueue    = 8    // batches that wait

	maxSamples  = 5   // lines that are shown of those that were not recognised
	sampleWidth = 160 // characters of them
	maxPrograms = 50  // mail programs that are counted apart; there are fewer kinds
	maxReasons  = 50
)

// stream is a log that is being read, and what was read of it. The figures are the
// reading goroutine's until batches is closed.
type stream struct {
	log     *logfile.Log
	batches chan *batch
	spare   chan *batch     // come back
	current *batch          // taken from batches
	head    []guard.Attempt // of it, not merged yet

	since, until time.Time // attempts outside are not handed on; zero: no bound

	read     Read
	file     File
	programs map[string]*Program
	reasons  map[string]int
}

func newStream(log *logfile.Log, o *Options) *stream {
	return &stream{
		log: log, batches: make(chan *batch, batchQueue), spare: make(chan *batch, batchQueue), since: o.Since, until: o.Until,
		file: File{Name: log.Name()}, programs: map[string]*Program{}, reasons: map[string]int{},
	}
}

// run reads the log to its end, or until ctx ends, and closes batches.
func (s *stream) run(ctx context.Context, o maillog.Options) {
	defer close(s.batches)
	o.Latest = s.log.Changed()
	parser := maillog.New(o)
	b := s.empty()
	lines := 0 // since the last batch
	hand := func() bool {
		lines = 0
		if len(b.attempts) == 0 {
			return ctx.Err() == nil
		}
		select {
		case s.batches <- b:
			b = s.empty()
			return true
		case <-ctx.Done():
			return false
		}
	}
	var r maillog.Reading
	yield := func(a guard.Attempt) { b.attempts = append(b.attempts, a) }
	err := s.log.Lines(func(line []byte) bool {
		s.file.Lines++
		lines++
		before := len(b.attempts)
		if at, passes := parser.Skim(line, &r, yield); passes {
			s.read.Lines++
			s.read.Other++
			s.seen(at)
		} else {
			s.choose(b, before, s.count(&r, line))
		}
		if len(b.attempts) >= batchAttempts || lines >= batchLines {
			return hand()
		}
		return true
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.file.Error = err.Error()
	}
	_, cut := s.log.Count()
	s.read.Cut = int(cut)
	hand()
}

// choose leaves out of a batch what is not to be replayed of a line's attempts, which
// begin somewhere.
func (s *stream) choose(b *batch, from int, program *Program) {
	to := from
	for i := from; i < len(b.attempts); i++ {
		if s.take(&b.attempts[i], program) {
			if to < i {
				b.attempts[to] = b.attempts[i]
			}
			to++
		}
	}
	b.attempts = b.attempts[:to]
}

// count counts a line. It returns the program of a line that tells of logins.
func (s *stream) count(r *maillog.Reading, line []byte) *Program {
	s.read.Lines++
	if at := r.Line.At; !at.IsZero() {
		s.seen(at)
	}
	switch r.Class {
	case maillog.Login:
		s.read.Recognised++
		if r.Why != "" && (s.reasons[r.Why] > 0 || len(s.reasons) < maxReasons) {
			s.reasons[r.Why]++
		}
	case maillog.Unknown:
		s.read.Unknown++
		if len(s.read.Samples) < maxSamples {
			s.read.Samples = append(s.read.Samples, Sample{
				File: s.file.Name, Line: s.file.Lines, Program: guard.Printable(r.Line.Program), Text: printable(string(line), sampleWidth),
			})
		}
	case maillog.Malformed:
		s.read.Malformed++
		return nil
	default:
		s.read.Other++
		return nil
	}
	p := s.programs[r.Kind]
	if p == nil {
		if len(s.programs) >= maxPrograms {
			return nil
		}
		p = &Program{Name: r.Kind}
		s.programs[r.Kind] = p
	}
	p.Lines++
	if r.Class == maillog.Login {
		p.Recognised++
	} else {
		p.Unknown++
	}
	return p
}

// seen notes the time of a line.
func (s *stream) seen(at time.Time) {
	if at.After(s.read.Last) { // as most are, and no first one then
		s.read.Last = at
		if !s.read.First.IsZero() {
			return
		}
	}
	if s.read.First.IsZero() || at.Before(s.read.First) {
		s.read.First = at
	}
}

// take counts an attempt and tells whether it is to be replayed.
func (s *stream) take(a *guard.Attempt, p *Program) bool {
	if !s.since.IsZero() && a.At.Before(s.since) || !s.until.IsZero() && !a.At.Before(s.until) {
		s.read.Outside++
		return false
	}
	n := max(a.Count, 1)
	switch {
	case failed(a.Outcome):
		s.read.Failures += n
		if p != nil {
			p.Failures += n
		}
	case a.Outcome == score.Success:
		s.read.Successes += n
		if p != nil {
			p.Successes += n
		}
	}
	return true
}

// next returns the first attempt that is not merged yet, waiting for it; nil at the
// end.
func (s *stream) next(ctx context.Context) *guard.Attempt {
	for len(s.head) == 0 {
		select {
		case b, ok := <-s.batches:
			if !ok {
				return nil
			}
			s.current, s.head = b, b.attempts
			b.hold(1)
		case <-ctx.Done():
			return nil
		}
	}
	return &s.head[0]
}
