// Package guard judges login attempts. It is the only place that does: the
// faces that speak Postfix's and Dovecot's protocols turn a question into an
// Attempt and a Verdict into an answer, the stores remember, package score
// counts.
//
// An attempt goes this way: Check looks it up among the bans and the allowlist,
// which are all in memory (table.go), asks the store for its standing, which
// takes a place for the guess in the same step (check.go), and judges it
// (judge.go). When its outcome is reported, Report queues it, and Run counts
// it and bans who crossed the ban score (report.go, ban.go).
//
// Check never fails: where the guard does not know, the attempt passes. Nothing
// here waits without a bound, and every queue and map has one.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/saslguard/saslguard/store"
)

// Options are what a Guard is made of. Scores, Ledger, Rules and Logger are
// required.
type Options struct {
	Rules  *Rules
	Scores store.Scores
	Ledger store.Ledger
	Key    [16]byte         // the store's
	Host   string           // this host's name, the maker of its automatic bans
	Own    []netip.Addr     // this host's addresses, never banned unless private ones are
	Now    func() time.Time // nil: time.Now
	Random func() uint64    // names attempts; nil: math/rand/v2
	Names  *Names           // how accounts are written in the log; nil: as they are
	Logger *zap.Logger
	Metric prometheus.Registerer // nil: not measured

	// Observe is told what happens, by many goroutines at once, and must not
	// block; nil: nobody.
	Observe func(Event)
}

// Guard judges attempts. Its methods may be called by many goroutines at once.
type Guard struct {
	rules  atomic.Pointer[Rules]
	scores store.Scores
	ledger store.Ledger
	hash   hasher
	names  *Names
	host   string
	own    []netip.Addr
	now    func() time.Time
	random func() uint64
	log    *zap.Logger

	observe func(Event) // nil: nobody looks on

	table   *table
	tarpits tarpits
	waiting waiting
	brake   brake
	recent  recent[Rule] // refusals
	told    recent[Rule] // prefixes of which was said that they are not banned
	guesses guesses
	banners banners
	metrics *metrics

	queue     chan Attempt
	dropping  atomic.Bool          // the queue was full, and has not been empty since
	enforced  chan struct{}        // holds a token when enforcing has begun
	probe     chan chan<- struct{} // asks the worker whether it lives
	reporting reporting
	reported  atomic.Bool // a report has come: places without one mean something
	batches   batchPool
	works     workPool
}

// queueSize bounds the reports that wait to be counted.
const queueSize = 8192

// New returns a guard. Run must be running for reports to be counted and for
// bans to be known.
func New(o Options) (*Guard, error) {
	if o.Rules == nil || o.Scores == nil || o.Ledger == nil || o.Logger == nil {
		return nil, errors.New("guard: rules, scores, ledger and logger are required")
	}
	g := &Guard{
		scores: o.Scores, ledger: o.Ledger, hash: newHasher(o.Key), names: o.Names,
		host: o.Host, now: o.Now, random: o.Random, log: o.Logger, observe: o.Observe,
		table: newTable(), queue: make(chan Attempt, queueSize), probe: make(chan chan<- struct{}), enforced: make(chan struct{}, 1),
		banners: banners{pending: map[netip.Prefix]bool{}, queue: make(chan wish, banQueue)},
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.random == nil {
		g.random = randomID
	}
	for _, a := range o.Own {
		g.own = append(g.own, clientAddr(a))
	}
	g.waiting.settled = make(chan struct{})
	g.rules.Store(o.Rules)
	m, err := newMetrics(o.Metric, g)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g.metrics = m
	return g, nil
}

// Reload replaces the rules. Attempts that are being judged keep the old ones.
func (g *Guard) Reload(r *Rules) {
	before := g.rules.Swap(r)
	if r.enforce && !before.enforce {
		select {
		case g.enforced <- struct{}{}:
		default: // it is told already
		}
	}
}

// Names is how accounts are written; nil: as they are.
func (g *Guard) Names() *Names { return g.names }

// Rules returns the rules in force.
func (g *Guard) Rules() *Rules { return g.rules.Load() }

// Synced is closed once the ledger is known completely for the first time.
func (g *Guard) Synced() <-chan struct{} { return g.table.synced }

// Alive tells whether the guard gets on: whether reports are being counted and
// no lock is held for long. It waits until ctx ends at most.
func (g *Guard) Alive(ctx context.Context) bool {
	answer := make(chan struct{}, 1)
	go func() {
		now := g.now()
		g.tarpits.count(Dovecot, now)
		g.brake.on(now)
		g.waiting.signal()
		g.recent.find(0, now)
		select {
		case g.probe <- answer:
		case <-ctx.Done():
		}
	}()
	select {
	case <-answer:
		return true
	case <-ctx.Done():
		return false
	}
}

// Run follows the ledger and counts reports until ctx ends; then it counts what
// is queued, for drainTime at most, and returns nil. It runs once.
func (g *Guard) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range banWorkers {
		group.Go(func() error { g.putBans(); return nil })
	}
	group.Go(func() error { return g.follow(ctx) })
	group.Go(func() error {
		defer close(g.banners.queue) // only the worker sends
		g.work(ctx)
		return nil
	})
	group.Go(func() error { g.dropWhenEnforced(ctx); return nil })
	return group.Wait()
}

// follow keeps the table true to the ledger. A watch that fails is begun anew,
// after a pause; meanwhile the bans that are known go on.
func (g *Guard) follow(ctx context.Context) error {
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	pause := first
	for {
		began := time.Now()
		err := g.ledger.Watch(ctx, func(e store.Event) error {
			g.observeLedger(e, g.table.apply(e))
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > longest {
			pause = first
		}
		g.log.Error("bans can no longer be followed; the known ones go on, and it is tried again",
			zap.Error(err), zap.Duration("pause", pause))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}
