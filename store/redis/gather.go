package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/store"
)

const (
	// pace is how long after a run the next one begins at the soonest. A run costs Redis
	// and this host more than an operation in it does, and a login takes a hundred
	// times as long: who comes soon after another waits for a moment, and is joined by
	// others. Who comes after nobody waits for nothing.
	pace = time.Millisecond
	// lanes is how many runs are under way at once, where Redis is far away or slow.
	lanes = 4
	// joined is how many calls one run takes before it takes no more, and how many of one
	// caller's it takes, two for an operation. Redis answers nobody else meanwhile, for a
	// millisecond or so, and what a run costs by itself is next to nothing for each by then.
	joined = 32
	// waiting bounds what is queued for a run. Who finds it full waits for room.
	waiting = 1024
)

// gatherer joins calls that come at the same time into one run of the script. The more
// there are, the more are joined.
type gatherer struct {
	send    func(ctx context.Context, runs [][]*call) error
	limit   time.Duration // for a run, whoever waits for it
	queue   chan *request
	turn    chan time.Time // held by the lane that gathers; when it may send
	stopped <-chan struct{}
}

// request are calls of one caller, which stay together.
type request struct {
	calls []*call
	done  chan struct{}
	err   error
	gone  atomic.Bool // nobody waits any more
}

// newGatherer returns a gatherer whose lanes run until ctx ends.
func newGatherer(ctx context.Context, running *sync.WaitGroup, limit time.Duration, send func(context.Context, [][]*call) error) *gatherer {
	g := &gatherer{send: send, limit: limit, queue: make(chan *request, waiting), turn: make(chan time.Time, 1), stopped: ctx.Done()}
	g.turn <- time.Time{}
	for range lanes {
		running.Go(g.lane)
	}
	return g
}

// do makes calls in their order. Its context bounds the wait: after an error they may
// yet be carried out and be given their answers, at which nobody may look any more.
func (g *gatherer) do(ctx context.Context, calls []*call) error {
	r := &request{calls: calls, done: make(chan struct{})}
	select {
	case g.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-g.stopped:
		return store.ErrClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		r.gone.Store(true)
		return ctx.Err()
	case <-g.stopped:
		r.gone.Store(true)
		return store.ErrClosed
	}
}

// lane makes one run after the other. One lane gathers while others wait for answers.
func (g *gatherer) lane() {
	var batch []*request
	for {
		var next time.Time
		select {
		case next = <-g.turn:
		case <-g.stopped:
			return
		}
		select {
		case first := <-g.queue:
			if len(g.queue) < joined/2 { // else there is enough for a run
				time.Sleep(time.Until(next))
			}
			batch = g.collect(append(batch[:0], first))
			g.turn <- time.Now().Add(pace)
		case <-g.stopped:
			return
		}
		g.carryOut(batch)
		clear(batch) // what is answered stays alive for nobody
	}
}

// collect adds what is queued already.
func (g *gatherer) collect(batch []*request) []*request {
	for n := len(batch[0].calls); n < joined; {
		select {
		case r := <-g.queue:
			n += len(r.calls)
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// carryOut sends a batch and answers its callers.
func (g *gatherer) carryOut(batch []*request) {
	runs := runsOf(batch)
	if len(runs) == 0 {
		return // nobody waits any more
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.limit)
	defer cancel()
	err := g.send(ctx, runs)
	for _, r := range batch {
		if r.err = err; err == nil {
			r.err = firstError(r.calls)
		}
		close(r.done)
	}
}

// runsOf joins the calls of a batch, those with the same rules in one run. While rules
// are reloaded there are two sets for a moment.
func runsOf(batch []*request) (runs [][]*call) {
	for _, r := range batch {
		if r.gone.Load() {
			continue
		}
		last := len(runs) - 1
		if last >= 0 && runs[last][0].attempt.rules == r.calls[0].attempt.rules {
			runs[last] = append(runs[last], r.calls...)
		} else {
			runs = append(runs, append(make([]*call, 0, joined), r.calls...))
		}
	}
	return runs
}
