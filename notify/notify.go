// Package notify tells people what they should know at once: bans, attacks on an
// account, passwords sprayed over many, accounts that have likely fallen, a store
// that is gone or back, logs that are no longer understood, a brake that was pulled.
// It speaks to whatever shoutrrr knows (mail, Slack, Matrix, ntfy and more), and to
// a webhook whose requests are signed.
//
// The way of a piece of news: Observe takes what the guard tells, and never waits;
// detect.go finds the news in it; remembered.go lets each through once; digest.go tells
// the first at once and the others together; message.go finds the words; target.go
// delivers, each receiver for itself, and tries again where that failed.
//
// What cannot be delivered is given up, logged and counted. No login waits for any
// of it, and nothing here is kept across a restart: what happened before is no news.
package notify

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
)

// Options are what a Notifier is made of. Host and Logger are required.
type Options struct {
	Host       string
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: not measured

	// Describe says in one line where an address is from: country, network, whom to
	// write to. "" is unknown. It returns when ctx ends. nil: nobody knows.
	Describe func(ctx context.Context, a netip.Addr) string
	Now      func() time.Time // nil: time.Now
	Names    *guard.Names     // how accounts are written; nil: as they are
}

// Notifier finds news and tells them. Its methods may be called by many goroutines
// at once.
type Notifier struct {
	host     string
	log      *zap.Logger
	metrics  *metrics
	describe func(context.Context, netip.Addr) string
	now      func() time.Time
	names    *guard.Names
	pause    time.Duration // before the second try of a delivery

	settings atomic.Pointer[settings]
	reloaded chan struct{}
	events   chan guard.Event // what an attacker can have many of
	rare     chan guard.Event // what he cannot
	news     chan News
	outgoing chan parcel
}

// The bounds of what waits. An event is about 700 octets.
const (
	eventQueue   = 1024
	rareQueue    = 256
	parcelQueue  = 64
	flushTimeout = 3 * time.Second // for what is under way when Run ends
)

// parcel is what is to be told together, and to whom.
type parcel struct {
	digest   digest
	settings *settings
}

// New returns a notifier of a configuration that has passed Check. An error is that
// of a file which the configuration names, or of a metric.
func New(c Config, o Options) (*Notifier, error) {
	n := &Notifier{
		host: o.Host, log: o.Logger, describe: o.Describe, now: o.Now, names: o.Names, pause: time.Second,
		reloaded: make(chan struct{}, 1), events: make(chan guard.Event, eventQueue),
		rare: make(chan guard.Event, rareQueue), news: make(chan News, rareQueue), outgoing: make(chan parcel, parcelQueue),
	}
	if n.now == nil {
		n.now = time.Now
	}
	var err error
	if n.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	return n, n.Reload(c)
}

// Reload takes over another configuration; with an error the old one goes on.
func (n *Notifier) Reload(c Config) error {
	s, err := c.prepare()
	if err != nil {
		return err
	}
	n.metrics.expect(s.targets)
	n.settings.Store(s)
	select {
	case n.reloaded <- struct{}{}:
	default: // it is told already
	}
	return nil
}

// Observe is for guard.Options: it looks whether an event may be news, hands it
// over, and never waits. Where too much is waiting the event is dropped and counted.
func (n *Notifier) Observe(e guard.Event) {
	if len(n.settings.Load().targets) == 0 {
		return
	}
	queue := n.events
	switch e.Kind {
	case guard.Banned, guard.Braked:
		queue = n.rare
	case guard.Reported:
	default:
		return
	}
	select {
	case queue <- e:
	default:
		n.metrics.dropped.Inc()
	}
}

// Tell is for news that others find: the store's, and the logs'. It never waits.
func (n *Notifier) Tell(w News) {
	if len(n.settings.Load().targets) == 0 {
		return
	}
	select {
	case n.news <- w:
	default:
		n.metrics.dropped.Inc()
	}
}

// Run works until ctx ends; then it tries for flushTimeout at most to tell what it
// knows already. It runs once.
func (n *Notifier) Run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(flushTimeout, cancel) })
	defer stop()
	var post sync.WaitGroup
	post.Go(func() { n.post(work) })
	n.watch(ctx)
	close(n.outgoing)
	post.Wait()
}

// watch finds the news and decides when they are told.
func (n *Notifier) watch(ctx context.Context) {
	s := n.settings.Load()
	w := newWatcher(n, s)
	timer := time.NewTimer(w.gate.every)
	defer timer.Stop()
	for {
		select {
		case e := <-n.rare:
			w.event(&e)
		case e := <-n.events:
			w.event(&e)
		case news := <-n.news:
			w.offer(news)
		case <-n.reloaded:
			w.reload(n.settings.Load())
		case <-timer.C:
		case <-ctx.Done():
			w.flush()
			return
		}
		w.due()
		timer.Reset(w.gate.wait(n.now()))
	}
}

// post finds the words and hands them to the receivers. What is known of addresses
// may have to be asked for, which is why nothing else waits here.
func (n *Notifier) post(ctx context.Context) {
	var at work
	defer at.group.Wait()
	var of *settings
	for p := range n.outgoing {
		if p.settings != of { // the receivers of before deliver what they have
			at.close()
			of = p.settings
			n.open(ctx, &at, of.targets)
		}
		at.send(n, n.compose(ctx, p))
	}
	at.close()
}
