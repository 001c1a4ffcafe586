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
	ring      []*Event  // grows to config.Max, then goes round
	next      int       // where the next one goes, once it is full
	began     time.Time // from when on all that happened is in the ring
	unsaved   int       // how many of the latest in the ring the archive has not taken
	repeats   repeats
	followers map[*follower]struct{}

	queue   chan *Event // to be shared
	dropped prometheus.Counter
	reading chan struct{} // holds a token for each who reads
	silent  atomic.Bool   // that sharing fails has been said

	restored chan struct{} // closed when what was kept before the start is in the ring
}

const (
	queueSize    = 16_384 // most of them are in the ring anyway
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
		queue: make(chan *Event, queueSize), reading: make(chan struct{}, maxReaders),
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
	if !repeats || !l.repeats.count(key, who, &e, l.names) && l.repeats.take(key, who, &out) {
		l.keep(&out)
	}
}

// counted counts an event with others like it, if there is what stands for them.
func (l *Log) counted(k repeatKey, who uint64, e *guard.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeats.count(k, who, e, l.names)
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

// keep puts an event into the ring, the queue, and those of followers. Nobody changes
// it from then on. Whoever calls holds mu.
func (l *Log) keep(e *Event) {
	if len(l.ring) < l.config.Max {
		l.ring = append(l.ring, e)
	} else {
		l.began = l.ring[l.next].At
		l.ring[l.next] = e
		l.next = (l.next + 1) % len(l.ring)
	}
	l.unsaved = min(l.unsaved+1, len(l.ring))
	if l.shared != nil {
		select {
		case l.queue <- e:
		default:
			l.dropped.Inc()
		}
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

// Run shares events with the other hosts and lets go of old ones until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(repeatTime / 4)
	defer tick.Stop()
	batch := make([]*Event, 0, shareBatch)
	for {
		select {
		case e := <-l.queue:
			batch = l.collect(append(batch[:0], e))
			l.share(ctx, batch)
			if len(l.queue) < shareBatch {
				l.gather(ctx)
			}
		case <-tick.C:
			l.expire()
		case <-ctx.Done():
			l.turn(true)
			l.leave(batch)
			return nil
		}
	}
}

// leave shares what is queued when the host stops.
func (l *Log) leave(batch []*Event) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for len(l.queue) > 0 && ctx.Err() == nil {
		batch = l.collect(batch[:0])
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
		l.ring, l.next = append(make([]*Event, 0, len(all)-n), all[n:]...), 0
		l.unsaved = min(l.unsaved, len(l.ring))
	}
}

// ordered returns the ring from the oldest to the latest, as a copy. Whoever
// calls holds mu.
func (l *Log) ordered() []*Event {
	all := make([]*Event, 0, len(l.ring))
	return append(append(all, l.ring[l.next:]...), l.ring[:l.next]...)
}

// follower is somebody who looks on. Events wait for him in a bounded queue,
// which is closed when it has overflown.
type follower struct{ queue chan Event }

const followerQueue = 1024

// errSlow ends the following of somebody who does not keep up.
var errSlow = errors.New("events come faster than they are read")
