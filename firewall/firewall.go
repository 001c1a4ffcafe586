// Package firewall keeps the firewall of this host true to the ledger: an Agent
// follows the bans, drops what must not be banned, and drives a Backend (package
// nftables, package exec, or DryRun).
//
// The way of a ban: follow.go takes the ledger's events, want.go and judge.go
// decide what is enforced of them, shadow.go works out what the backend has to be
// told, enforce.go tells it, and sessions.go ends what the client has open.
// heal.go looks every second whether what was built is still there.
//
// On failure: while the source of bans is away, what is in force stays, and bans
// end by themselves. When the backend fails everything is built anew, in one step,
// with longer and longer pauses between tries; the state says so. When the agent
// dies, kernels end bans by themselves. None of it holds up a mail: what is not
// banned passes.
package firewall

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// ErrPermission is wrapped by what a backend returns when the process lacks the
// capability that it needs.
var ErrPermission = errors.New("CAP_NET_ADMIN is missing")

// Source is where the agent learns of bans. A store.Ledger is one.
type Source interface {
	// Watch is as in store.Ledger. One that ends is called again.
	Watch(ctx context.Context, f func(store.Event) error) error
}

// Settings are what a reload can change.
type Settings struct {
	Config  Config
	Allow   []netip.Prefix // allowed by the configuration, never banned automatically
	Enforce bool           // false: observing, nothing is brought into force
}

// Options are what an Agent is made of. Source, Backend, Own and Logger are
// required.
type Options struct {
	Settings
	Source   Source
	Backend  Backend
	Sessions Sessions                     // nil: sessions are not ended
	Own      func() ([]netip.Addr, error) // this host's addresses
	Logger   *zap.Logger
	Metric   prometheus.Registerer // nil: not measured
	Now      func() time.Time      // nil: time.Now
}

// Agent keeps a backend true to a source. Run does the work; the other methods
// may be called by any goroutine.
type Agent struct {
	source   Source
	backend  Backend
	sessions Sessions
	own      func() ([]netip.Addr, error)
	log      *zap.Logger
	now      func() time.Time
	metrics  *metrics
	ender    ender

	events   chan heard
	requests chan func() // carried out by Run

	// Run's own.
	settings Settings
	spared   *spared
	allowed  *bart.Lite
	entries  map[key]moment // bans and allowlist of the ledger, as it has them
	building map[key]moment // a snapshot that is not complete
	ledger   string         // the name of what keeps the ledger
	lost     bool           // the snapshot is of another ledger than before
	flushed  map[key]moment // what an operator took out of the firewall
	told     map[telling]bool
	full     bool   // it was said that there are max_bans
	allowEnd moment // when an entry of the allowlist ends next
	reached  store.Position
	synced   bool // a snapshot has been complete
	stale    bool // the backend does not have what the shadow has: it is replaced
	cause    string
	leftover bool // nothing is to be in force, and something still may be
	retryAt  time.Time
	pause    time.Duration
	mended   int       // how often another program's changes were, since it was said
	mendedAt time.Time // when it was said
	hold     hold

	mu     sync.Mutex // guards what follows
	shadow *shadow
	state  Status
	ports  []uint16 // that are guarded
}

// heard is an event and when it came.
type heard struct {
	store.Event
	at time.Time
}

const (
	eventQueue = 4096
	batchSize  = 4096 // events that are brought into force together
)

// New returns an agent. It asks and changes nothing before Run.
func New(o Options) (*Agent, error) {
	if o.Source == nil || o.Backend == nil || o.Own == nil || o.Logger == nil {
		return nil, errors.New("firewall: source, backend, own addresses and logger are required")
	}
	a := &Agent{
		source: o.Source, backend: o.Backend, sessions: o.Sessions, own: o.Own, log: o.Logger, now: o.Now,
		events: make(chan heard, eventQueue), requests: make(chan func()),
		entries: map[key]moment{}, flushed: map[key]moment{}, told: map[telling]bool{}, shadow: newShadow(),
	}
	if a.now == nil {
		a.now = time.Now
	}
	a.ender = ender{agent: a, wake: make(chan struct{}, 1)}
	a.state = Status{AgentState: store.AgentState{Backend: o.Backend.Name(), State: Starting}}
	if err := a.take(o.Settings); err != nil {
		return nil, err
	}
	var err error
	a.metrics, err = newMetrics(o.Metric, a)
	return a, err
}

// take takes over settings. The own addresses are read anew.
func (a *Agent) take(s Settings) error {
	ports, err := s.Config.GuardedPorts()
	if err != nil {
		return err
	}
	if r, ok := a.backend.(Reloader); ok {
		if err := r.Reload(s.Config); err != nil {
			return err
		}
	}
	a.settings, a.hold.observing = s, !s.Enforce
	a.mu.Lock()
	a.ports = ports
	a.mu.Unlock()
	own, err := a.own()
	if err != nil {
		a.log.Warn("the addresses of this host are not known, so they are not spared from bans", zap.Error(err))
	}
	a.spared = newSpared(own, s.Config.Private)
	return nil
}

// Reloader is a backend whose configuration can change. The next Replace brings
// it into force.
type Reloader interface {
	Reload(c Config) error
}
