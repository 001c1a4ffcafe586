package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
)

// Options are what New needs beside the configuration.
type Options struct {
	Shared     Shared           // nil: every host for itself
	Names      *guard.Names     // how accounts are written; nil: as they are
	Now        func() time.Time // nil: time.Now
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: not measured
}

// Log is the log of events of a host. Its methods may be called by many
// goroutines at once. A nil Log keeps nothing.
type Log struct {
	config Config
	shared Shared
	names  *guard.Names
	now    func() time.Time
	log    *zap.Logger

	mu        sync.Mutex
	ring      []Event   // grows to config.Max, then goes round
	next      int       // where the next one goes, once it is full
	began     time.Time // from when on all that happened is in the ring
	kept      uint64    // how many have ever been put there
	unsaved   int       // how many of the latest in the ring the archive has not taken
	unshared  int       // how many of them the other hosts have not been told of
	repeats   repeats
	followers map[*follower]struct{}

	fresh   chan struct{} // holds a token when there are some to be shared
	dropped prometheus.Counter
	reading chan struct{} // holds a token for each who reads
	silent  atomic.Bool   // that sharing fails has been said

	restored chan struct{} // closed when what was kept before the start is in the ring
}

const (
	maxUnshared  = 16_384 // of those beyond, the other hosts do not hear
	turnedAtOnce = 64     // under one lock
	maxReaders   = 2      // at once: each needs as much memory as there are events
)

// New returns a log, or nil where the configuration keeps none.
func New(cfg Config, o Options) (*Log, error) {
	if cfg.Keep == 0 {
		return nil, nil
	}
	l := &Log{
		config: cfg, shared: o.Shared, names: o.Names, now: o.Now, log: o.Logger, followers: map[*follower]struct{}{},
		fresh: make(chan struct{}, 1), reading: make(chan struct{}, maxReaders),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_events_dropped_total", Help: "Events that the other hosts were not told of, because Redis did not take them in time.",
		}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.began = l.now().UTC()
	l.repeats.seed = maphash.MakeSeed()
	l.repeats.turn(l.began)
	l.restored = make(chan struct{})
	close(l.restored) // until an archive is asked
	if o.Registerer != nil {
		if err := o.Registerer.Register(l.dropped); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	return l, nil
}

// Observe takes an event of the guard's, as guard.Options.Observe.
func (l *Log) Observe(e guard.Event) {
	if l == nil {
		return
	}
	kind, keep := kindOf(&e)
	if !keep {
		return
	}
	key, who, repeats := l.repeats.keyOf(kind, &e)
	if repeats && l.counted(key, who, &e) {
		return
	}
	out := fromGuard(kind, &e, l.names)
	out.settle()
	l.mu.Lock()
	defer l.mu.Unlock()
	// Meanwhile another one like it may have been first.
	if !repeats || !l.repeats.count(key, who, &e, l) && l.repeats.take(key, who, &out, l.kept+1) {
		l.keep(&out)
	}
}

// counted counts an event with others like it, if there is what stands for them.
func (l *Log) counted(k repeatKey, who uint64, e *guard.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeats.count(k, who, e, l)
}

// Add takes an event that is none of the guard's. It never blocks.
func (l *Log) Add(e Event) {
	if l == nil {
		return
	}
	e.settle()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(&e)
}

// turn keeps what repeats in the last while have come to, if it is over or has to be.
// There may be tens of thousands of them: whoever logs in meanwhile waits for a few.
func (l *Log) turn(now bool) {
	l.mu.Lock()
	if !now && !l.repeats.due(l.now()) {
		l.mu.Unlock()
		return
	}
	old := l.repeats.turn(l.now())
	l.mu.Unlock()
	few := make([]*Event, 0, turnedAtOnce)
	for _, one := range old {
		rest := one.rest()
		if rest == nil {
			continue
		}
		if few = append(few, rest); len(few) == turnedAtOnce {
			l.keepAll(few)
			few = few[:0]
		}
	}
	l.keepAll(few)
	clear(old)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeats.spare = old
}

func (l *Log) keepAll(few []*Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range few {
		l.keep(e)
	}
}

// settle makes the time what is kept of it.
func (e *Event) settle() { e.At = e.At.UTC().Truncate(time.Millisecond) }

// keep puts an event into the ring and the queues of followers. Whoever calls holds mu.
func (l *Log) keep(e *Event) {
	if len(l.ring) < l.config.Max {
		l.ring = append(l.ring, *e)
	} else {
		l.began = l.ring[l.next].At
		l.ring[l.next] = *e
		l.next = (l.next + 1) % len(l.ring)
	}
	l.kept++
	l.unsaved = min(l.unsaved+1, len(l.ring))
	if l.shared != nil {
		l.toShare()
		return // followers read what is shared
	}
	for f := range l.followers {
		select {
		case f.queue <- *e:
		default:
			delete(l.followers, f)
			close(f.queue) // it does not keep up
		}
	}
}

// toShare notes that the latest event is to be shared. Whoever calls holds mu.
func (l *Log) toShare() {
	if l.unshared++; l.unshared > min(len(l.ring), maxUnshared) {
		l.unshared--
		l.dropped.Inc()
	}
	select {
	case l.fresh <- struct{}{}:
	default:
	}
}

// nth is a copy of the event that was kept as the nth, or nil if it is gone. Whoever
// calls holds mu.
func (l *Log) nth(n uint64) *Event {
	back := l.kept - n
	if back >= uint64(len(l.ring)) {
		return nil
	}
	e := l.ring[(l.next+len(l.ring)-1-int(back))%len(l.ring)]
	return &e
}

// oldest are the first n of the latest events in the ring. Whoever calls holds mu.
func (l *Log) oldest(n, latest int) []Event {
	all := make([]Event, 0, n)
	for i := range n {
		at := len(l.ring) - latest + i // from the oldest
		all = append(all, l.ring[(l.next+at)%len(l.ring)])
	}
	return all
}

// Run shares events with the other hosts and lets go of old ones until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(repeatTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-l.fresh:
			l.shareAll(ctx)
			l.gather(ctx)
		case <-tick.C:
			l.expire()
		case <-ctx.Done():
			l.turn(true)
			l.leave()
			return nil
		}
	}
}

// leave shares what is left when the host stops.
func (l *Log) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for batch := l.collect(); len(batch) > 0 && ctx.Err() == nil; batch = l.collect() {
		if l.shared.Append(ctx, encode(batch), l.config.Max, l.config.Keep) != nil {
			return
		}
	}
}

// expire drops what is older than events are kept: private data is not to lie
// about only because nothing happens.
func (l *Log) expire() {
	l.turn(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.now().Add(-l.config.Keep)
	if len(l.ring) == 0 || !l.ring[l.next].At.Before(oldest) {
		return // which it is nearly always, and the ring is large
	}
	all := l.ordered()
	n := 0
	for n < len(all) && all[n].At.Before(oldest) {
		n++
	}
	if n > 0 {
		l.ring, l.next = append(make([]Event, 0, len(all)-n), all[n:]...), 0
		l.unsaved, l.unshared = min(l.unsaved, len(l.ring)), min(l.unshared, len(l.ring))
	}
}

// ordered returns the ring from the oldest to the latest, as a copy. Whoever
// calls holds mu.
func (l *Log) ordered() []Event {
	all := make([]Event, 0, len(l.ring))
	return append(append(all, l.ring[l.next:]...), l.ring[:l.next]...)
}

// follower is somebody who looks on. Events wait for him in a bounded queue,
// which is closed when it has overflown.
type follower struct{ queue chan Event }

const followerQueue = 1024

// errSlow ends the following of somebody who does not keep up.
var errSlow = errors.New("events come faster than they are read")
