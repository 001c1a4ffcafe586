// Package failover is the store of a host that shares Redis with others and
// does not depend on it. It is made of a local store, which is always there,
// and the remote one.
//
// Scores: the local store carries out every operation too, so that it can
// decide at any moment; the remote's answer is the one that counts while it
// answers (scores.go), and what it knows more than the local store is kept there, so
// that a host that must decide alone goes on from the scores that were shared. The ledger: bans are made by the remote, so that all
// hosts agree, and mirrored into the local ledger, which is the one that is
// watched and survives on disk (ledger.go, follow.go).
//
// When Redis fails: a call waits for its deadline at most. A few failures in a
// row open the breaker (breaker.go), and then nobody waits any more: the local
// store decides, recorded attempts are kept in a bounded journal (journal.go),
// bans and unbans in the local store's file. A goroutine asks again and again
// (keep.go); when Redis answers, bans and unbans are handed over first, then the
// journal, in order and with its own times (handover.go), and then the breaker
// is closed. It is none of the common ones, because no login may be the probe,
// and the journal goes before the next login. What is sent twice counts once, so
// that whatever has an unknown fate is sent again.
//
// Attempts are lost only where the journal cannot hold them, the oldest first, or
// where the process ends while Redis is away; both are counted or logged. A Redis
// that comes back empty or older than it was is told again what it lacks, bans and
// unbans (Event.Ledger); what was decided when tells which of them hold.
//
// A host's clock may differ from Redis': all times that cross are moved by as much
// (skew.go).
package failover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// Remote is the store that hosts share. Its methods keep to their ctx.
type Remote interface {
	store.Scores
	store.Forgetter
	store.Ledger
	// Key is known without asking the network.
	Key() [16]byte
	// Followed says which ledger this host followed last, and up to where. It is
	// called once, before the first Watch.
	Followed(ledger string, to store.Position)
	// Probe tells whether it answers and can be written, and the time by its clock.
	Probe(ctx context.Context) (time.Time, error)
	// PutAll takes in entries as they are, any number of times. What was lifted
	// after it was made stays so; of two of an operator for the same thing the
	// later one holds, of two automatic bans the one that ends later. store.ErrFull
	// says that all were tried, and some found no room.
	PutAll(ctx context.Context, entries []store.Entry) error
	// RemoveAll removes what was made up to the time of each event, any number of
	// times.
	RemoveAll(ctx context.Context, removed []store.Event) error
	Close(ctx context.Context) error
}

// Local is this host's own store and its copy of the shared ledger. The memory
// store is one, and documents the methods.
type Local interface {
	store.Store
	Level(op *store.Op, before, known *store.Standing, lower bool)
	Mirror(ctx context.Context, events []store.Event) error
	Adopt(ctx context.Context, e store.Event) (found bool, err error)
	RemovePending(ctx context.Context, e store.Entry) (bool, error)
	Followed() (ledger string, to store.Position)
	Pending(limit int) []store.Event
	HandedOver(ctx context.Context, events []store.Event) error
}

// Options are what New needs beside the stores. The zero value is usable.
type Options struct {
	// Deadline is how long a call waits for the remote store; 0 is 150 ms.
	Deadline time.Duration
	// Journal is how many attempts are kept for the remote store while it is
	// away; 0 is 100,000. The oldest are dropped first: their points have
	// decayed the most.
	Journal int
	// ProbeEvery is how often a remote store that is away is asked; 0 is 500 ms.
	ProbeEvery time.Duration
	// Now is the local store's clock; nil is time.Now.
	Now func() time.Time
	// Logger gets changes of state; nil logs nothing.
	Logger *zap.Logger
	// Registerer gets the metrics; nil registers none.
	Registerer prometheus.Registerer
}

func (o Options) filled() Options {
	if o.Deadline <= 0 {
		o.Deadline = 150 * time.Millisecond
	}
	if o.Journal <= 0 {
		o.Journal = 100_000
	}
	if o.ProbeEvery <= 0 {
		o.ProbeEvery = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// closeTime bounds the handing over when a store is closed.
const closeTime = 5 * time.Second

// Store is a local and a remote store as one. It implements store.Store.
type Store struct {
	local   Local
	remote  Remote
	options Options
	log     *zap.Logger
	breaker *breaker
	journal *journal
	skew    skew
	meters  *meters
	scratch sync.Pool    // of *[]store.Standing
	late    atomic.Int64 // Unix milliseconds until which the remote store may lack places; 0: it lacks nothing

	kicked   chan struct{} // holds a token when something is to be handed over
	rewatch  atomic.Pointer[context.CancelFunc]
	mirrored trouble

	closed  atomic.Bool
	cancel  context.CancelFunc
	running sync.WaitGroup
	ended   chan struct{}
	err     error // what Close returns, once ended is closed
}

var _ store.Store = (*Store)(nil)

// New makes one store of two, which it closes with itself. It needs no network:
// the remote store is joined when it answers, and until then the local one
// decides.
func New(local Local, remote Remote, opts Options) (*Store, error) {
	s := &Store{
		local: local, remote: remote, options: opts.filled(),
		kicked: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.log = s.options.Logger
	s.breaker = newBreaker(s.options.ProbeEvery)
	s.meters = newMeters()
	s.journal = newJournal(s.options.Journal, s.meters.dropped)
	if err := s.meters.register(opts.Registerer, s); err != nil {
		return nil, fmt.Errorf("registering the store's metrics: %w", err)
	}
	remote.Followed(local.Followed())
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() { s.keep(ctx) })
	s.running.Go(func() { s.follow(ctx) })
	return s, nil
}

// Key implements store.Store: it is the remote's, the same on every host.
func (s *Store) Key() [16]byte { return s.remote.Key() }

// Health tells whether scores and bans are shared with the other hosts, and in
// a sentence what is so.
func (s *Store) Health() (ok bool, detail string) {
	up, since, err := s.breaker.state()
	switch {
	case up:
		return true, "Redis answers" + s.breaker.unsteady() + s.skew.detail()
	case err == nil:
		return false, "Redis has not been reached yet; this host decides by its own scores"
	}
	return false, fmt.Sprintf("Redis cannot be used since %s (%v); this host decides by its own scores, %d attempts wait to be handed over",
		since.UTC().Format(time.RFC3339), err, s.journal.len())
}

// Close implements store.Store. It hands over what waits, if the remote store
// answers, and closes both stores. Calling it again waits for the first call
// and returns the same.
func (s *Store) Close(ctx context.Context) error {
	if s.closed.CompareAndSwap(false, true) {
		go s.end(ctx)
	}
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) end(ctx context.Context) {
	defer close(s.ended)
	s.cancel()
	s.running.Wait()
	if s.breaker.isUp() {
		limit := closeTime
		if end, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(end)/2) // the rest is for the state file
		}
		last, cancel := context.WithTimeout(ctx, limit)
		// What is left after an error is told below.
		_, _ = s.handOverLast(last)
		cancel()
	}
	if n := s.journal.len(); n > 0 {
		s.log.Warn("attempts could not be handed over to Redis; the other hosts do not know of them", zap.Int("attempts", n))
	}
	s.meters.registered.Unregister()
	s.err = errors.Join(s.local.Close(ctx), s.remote.Close(ctx))
}

// kick wakes the keeper.
func (s *Store) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// ask puts a question to the remote store, within the deadline.
func (s *Store) ask(ctx context.Context, question func(ctx context.Context) error) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.options.Deadline)
	err := question(limited)
	cancel()
	s.judge(ctx, time.Since(began), err)
	return err
}

// judge takes note of how the remote store answered a call with a ctx.
func (s *Store) judge(ctx context.Context, took time.Duration, err error) {
	s.meters.seconds.Observe(took.Seconds())
	slow := took >= s.slow()
	switch {
	case refusal(err):
		err = nil
	case err != nil && ctx.Err() != nil && !slow:
		return // the caller gave up, which says nothing
	}
	if err != nil {
		s.meters.errors.Inc()
	} else if slow {
		err = errSlow
	}
	if err == nil {
		s.breaker.answered()
	} else if s.breaker.failed(err, hopeless(err)) {
		s.opened(err)
	}
}

// slow is how long an answer may take before it counts as a failure, although
// it is used: a Redis that keeps everybody waiting until just before the
// deadline is not there for logins.
func (s *Store) slow() time.Duration { return s.options.Deadline * 2 / 3 }

// opened says that the breaker has opened, or once that it keeps opening.
func (s *Store) opened(err error) {
	switch {
	case s.breaker.flapped():
	case s.breaker.flapping():
		s.log.Warn("Redis can be used for moments only; deciding by this host's own scores until that has passed", zap.Error(err))
	default:
		s.log.Warn("Redis cannot be used; deciding by this host's own scores", zap.Error(err))
	}
	s.kick()
}

// watchAgain has the remote ledger read anew.
func (s *Store) watchAgain() {
	if again := s.rewatch.Load(); again != nil {
		(*again)()
	}
}

// refusal tells whether an error is the remote store's answer.
func refusal(err error) bool {
	return errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrFull)
}
