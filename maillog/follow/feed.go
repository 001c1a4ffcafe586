package follow

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dchest/siphash"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
)

const (
	batchSize  = 64               // attempts counted at once
	applyTime  = 10 * time.Second // for a batch; stores keep deadlines that are much shorter
	firstPause = 500 * time.Millisecond
	mostPause  = 10 * time.Second // between tries while the store does not answer
)

// feed turns the lines of one source into attempts that are counted. It belongs
// to the source's goroutine.
type feed struct {
	*shared
	source string // the file's path, or "journal"
	how    maillog.Options
	parser *maillog.Parser

	attempts []guard.Attempt
	tellers  []*programMetrics // of the attempts
	verdicts []guard.Verdict
	programs map[string]*programMetrics
	priming  bool      // what the parser finds has been counted already
	since    time.Time // older attempts are not counted
	latest   time.Time // of the newest attempt
	notices  notices
	stuck    atomic.Bool // the store does not answer
}

func newFeed(s *shared, source string, how maillog.Options) *feed {
	f := &feed{shared: s, source: source, how: how, programs: map[string]*programMetrics{}}
	f.how.Now = s.now
	f.notices.feed = f
	f.renew()
	return f
}

// renew begins with a parser that knows nothing of earlier lines.
func (f *feed) renew() {
	f.parser = maillog.New(f.how)
}

// line takes a line; position tells equal lines of a source apart. It keeps
// nothing of it.
func (f *feed) line(line []byte, position int64) {
	first := len(f.attempts)
	r, err := f.parse(line)
	if f.priming {
		f.attempts = f.attempts[:first]
		return
	}
	if err != nil {
		f.metrics.panics.Inc()
		f.log.Error("a line of the log upset its parser, and was not counted; please report it",
			zap.String("source", f.source), zap.String("line", f.names.Foreign(sample(line))), zap.Error(err))
		f.attempts = f.attempts[:first]
		return
	}
	program := f.program(r.Kind)
	program.lines[r.Class].Inc()
	f.notices.see(r, line)
	kept := f.attempts[:first]
	for i := range f.attempts[first:] {
		a := f.attempts[first+i]
		if f.wants(&a, r.Kind) {
			a.ID = f.id(line, position, i)
			kept = append(kept, a)
			f.tellers = append(f.tellers, program)
		}
	}
	f.attempts = kept
}

// program returns the metrics of a kind of program.
func (f *feed) program(kind string) *programMetrics {
	p := f.programs[kind]
	if p == nil {
		p = f.metrics.program(kind)
		f.programs[kind] = p
	}
	return p
}

// parse has a line parsed. What a stranger wrote into a log must not end the
// program, which would meet the same line again when it is started anew.
func (f *feed) parse(line []byte) (r maillog.Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
			f.renew()
		}
	}()
	return f.parser.Parse(line, func(a guard.Attempt) { f.attempts = append(f.attempts, a) }), nil
}

// wants tells whether an attempt is to be counted from the log; kind is that of its
// line.
func (f *feed) wants(a *guard.Attempt, kind string) bool {
	now := f.now()
	if a.At.IsZero() || a.At.After(now) {
		a.At = now // a clock, or a time zone, is wrong; later than now it was not
	}
	if a.At.After(f.latest) {
		f.latest = a.At
	}
	service := guard.ServiceGroup(a.Service)
	switch {
	case a.At.Before(f.since):
		f.metrics.skipped[skippedOld].Inc()
	case !f.services.Load().has(service):
		f.metrics.skipped[skippedService].Inc()
	case f.reported(a, kind):
		f.metrics.skipped[skippedReported].Inc()
		f.reportedTwice(service)
	default:
		return true
	}
	return false
}

// reported tells whether Dovecot has reported an attempt itself. Lines of its auth
// process, and PAM's for it, do not say which service they are about; it is one
// process for all, so that it reports all if it reports any.
func (f *feed) reported(a *guard.Attempt, kind string) bool {
	if a.Service != "" || kind != "dovecot" && (kind != "pam" || f.how.Dovecot != maillog.DovecotPAM) {
		return f.judge.Reported(a.Service, a.At)
	}
	return slices.ContainsFunc(services(), func(s string) bool { return f.judge.Reported(s, a.At) })
}

// id names an attempt so that, should its line be read again after a crash, it
// counts once. Strangers cannot make two that are equal: the key is the store's.
func (f *feed) id(line []byte, position int64, n int) uint64 {
	h := siphash.New(f.key[:])
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(position))
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	_, _ = h.Write(b[:]) // a hash takes everything
	_, _ = h.Write(line)
	return h.Sum64() | 1
}

// full tells whether it is time to flush.
func (f *feed) full() bool { return len(f.attempts) >= batchSize }

// flush has counted what there is when it returns nil. While the store does not
// answer it waits, and the log with it: nothing of a log is lost by reading it
// later. It gives up only when ctx ends, and what it holds is then not counted.
func (f *feed) flush(ctx context.Context) error {
	for pause := firstPause; len(f.attempts) > 0; pause = min(2*pause, mostPause) {
		if len(f.verdicts) < len(f.attempts) {
			f.verdicts = make([]guard.Verdict, len(f.attempts))
		}
		limited, cancel := context.WithTimeout(ctx, applyTime)
		err := f.judge.Apply(limited, f.attempts, f.verdicts[:len(f.attempts)])
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.stuck.Store(true)
		f.metrics.storeErrors.Inc()
		f.log.Warn("attempts of the log could not be counted; reading waits for the store",
			zap.String("source", f.source), zap.Error(err), zap.Duration("pause", pause))
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
	f.stuck.Store(false)
	for i := range f.attempts {
		f.tellers[i].counted(&f.attempts[i])
	}
	clear(f.attempts) // do not keep the logins alive
	f.drop()
	return nil
}

// drop forgets what has not been counted.
func (f *feed) drop() { f.attempts, f.tellers = f.attempts[:0], f.tellers[:0] }

// sleep waits, and tells whether it was not for ctx to end it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
