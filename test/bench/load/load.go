// Package load asks a server as many mail servers at once would, over connections
// that are kept, and measures how it answers.
//
// In a closed loop each connection asks again as soon as it has its answer: that
// finds how much a server can do. In an open loop questions are due at times that do
// not depend on the answers, as people and attackers come when they like; a question
// that finds no connection free waits, and its waiting counts. A server that stalls is
// therefore charged with every question that was due meanwhile, and not only with the
// one that it had in hand (which is called coordinated omission).
//
// Few threads with epoll ask over all connections, since what asks runs on the same
// processors as what answers.
package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Load is one run of questions.
type Load struct {
	// Dialect and Source make those of a thread.
	Dialect     func() Dialect
	Source      func(thread int) Source
	Connections int
	Threads     int           // 0: 1
	Rate        float64       // questions a second, open loop; 0: closed loop
	Questions   int64         // ends after so many; 0: after Duration alone
	Warmup      time.Duration // asked, and not measured
	Duration    time.Duration // measured
}

// Result is what a run has measured.
type Result struct {
	Answers  int64                   // measured
	All      int64                   // those of the warm-up included
	Elapsed  time.Duration           // of the measured part
	Latency  *hdrhistogram.Histogram // in nanoseconds; in an open loop from when the question was due
	Said     [sayings]int64          // of All
	Unheard  int64                   // questions without an answer at the end
	PeakWait int64                   // open loop: questions that were due and found no free connection, at most
}

// PerSecond is how many answers came in a second.
func (r *Result) PerSecond() float64 { return float64(r.Answers) / r.Elapsed.Seconds() }

// Quantile is the latency that a share of the answers, 0 to 100, did not exceed.
func (r *Result) Quantile(percent float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(percent))
}

// The histogram tells latencies from a microsecond to a minute apart by three digits.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(time.Minute)
	digits   = 3
)

// Run asks a server and returns what was measured. It fails where a connection
// cannot be made or ends, and where an answer is none.
func (l Load) Run(ctx context.Context, server netip.AddrPort) (*Result, error) {
	threads := max(l.Threads, 1)
	if l.Connections < threads {
		return nil, fmt.Errorf("%d connections for %d threads", l.Connections, threads)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := make([]*worker, threads)
	for i := range workers {
		w, err := newWorker(&l, i, threads, server)
		if err != nil {
			return nil, errors.Join(err, closeAll(workers[:i]))
		}
		workers[i] = w
	}
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() {
			if err := w.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	if err := errors.Join(context.Cause(ctx), closeAll(workers)); err != nil {
		return nil, err
	}
	total := &Result{Latency: hdrhistogram.New(shortest, longest, digits)}
	for _, w := range workers {
		total.add(&w.result)
	}
	return total, nil
}

func (r *Result) add(o *Result) {
	r.Answers += o.Answers
	r.All += o.All
	r.Unheard += o.Unheard
	r.Elapsed = max(r.Elapsed, o.Elapsed)
	r.PeakWait = max(r.PeakWait, o.PeakWait)
	for i := range r.Said {
		r.Said[i] += o.Said[i]
	}
	r.Latency.Merge(o.Latency)
}

func closeAll(workers []*worker) error {
	var failed error
	for _, w := range workers {
		failed = errors.Join(failed, w.close())
	}
	return failed
}
