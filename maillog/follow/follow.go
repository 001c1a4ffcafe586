// Package follow reads mail logs while they are written, for the login attempts
// in them: files across every kind of rotation, and the systemd journal by
// journalctl. It remembers how far it has read each of them, so that a restart
// neither loses nor doubles a line, and counts what package maillog finds by the
// guard.
//
// A log gives no answers: it tells of guesses that have been verified, and late.
// Where Dovecot can report logins itself it is the better way, and what it
// reports is not counted a second time from the log.
//
// A place in a log moves only when the attempts before it are counted: while the
// store does not answer, reading waits. A process that dies has saved its places
// up to a second ago, and the lines after them are read again; their attempts
// have the same IDs as before, under which a failure counts once. A log that
// cannot be read is tried again all the time, and makes the health degraded;
// nothing here ends the program.
package follow

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
)

// saveEvery is how often places that have changed are saved.
const saveEvery = time.Second

// behindTooLong is how long a log may be behind before the health says so.
const behindTooLong = time.Minute

// Judge counts attempts; guard.Guard is one.
type Judge interface {
	// Apply counts attempts and returns when they are. After an error it is not
	// known which were; those with an ID may be applied once more.
	Apply(ctx context.Context, as []guard.Attempt, out []guard.Verdict) error
	// Reported tells whether the logins of a service were reported by Dovecot
	// itself at that time.
	Reported(service string, at time.Time) bool
}

// Options are what a Follower is made of. Judge and Logger are required.
type Options struct {
	Judge      Judge
	Directory  string       // where the places are kept; "": nowhere
	Key        [16]byte     // under which attempts are named; the same after a restart
	Names      *guard.Names // how logins are written; nil: as they are
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: not measured
	Now        func() time.Time      // nil: time.Now

	// Notice is told of logs that are not understood, once an hour for each source
	// and program at most, and must not block; nil: nobody.
	Notice func(Notice)
}

// Follower follows the logs of a configuration.
type Follower struct {
	*shared
	dir string

	mu      sync.Mutex
	config  Config
	running context.Context // of Run; nil before and after
	sources map[string]*following
	journal *followingJournal
	loaded  *state // what was kept of sources that have not begun
	unsaved string // why the places could not be saved; ""

	saving sync.Mutex // held while saving
	saved  string     // where all sources were then
}

// shared is what all sources have in common.
type shared struct {
	judge    Judge
	key      [16]byte
	now      func() time.Time
	names    *guard.Names
	log      *zap.Logger
	metrics  *metrics
	notice   func(Notice) // nil: nobody is told
	services atomic.Pointer[serviceSet]
	begun    chan struct{} // holds a token when a source has found its place
	twice    sync.Map      // the services of which was said that they are reported as well
}

// serviceSet are the groups of services that are counted.
type serviceSet []string

func (s *serviceSet) has(group string) bool { return slices.Contains(*s, group) }

// hasBegun tells that a source has found its place.
func (s *shared) hasBegun() {
	select {
	case s.begun <- struct{}{}:
	default:
	}
}

// reportedTwice says once of a service that logs tell what Dovecot reports.
func (s *shared) reportedTwice(group string) {
	if _, told := s.twice.LoadOrStore(group, true); told {
		return
	}
	s.log.Warn("logins of a service are reported by Dovecot itself and are in the log as well: they count once, as reported; "+
		"take it out of maillog.services", zap.String("service", group))
}

// following is a source and the goroutine that runs it.
type following struct {
	*source
	stop func() // returns when it has ended
}

// New returns a follower of the logs of a configuration that has passed Check.
// It reads what was kept of them; nothing is followed before Run.
func New(c Config, o Options) (*Follower, error) {
	if o.Judge == nil || o.Logger == nil {
		return nil, errors.New("maillog: judge and logger are required")
	}
	if err := problemsOf(c); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Follower{
		shared: &shared{judge: o.Judge, key: o.Key, now: o.Now, names: o.Names, log: o.Logger, notice: o.Notice, begun: make(chan struct{}, 1)},
		dir:    o.Directory, config: c, sources: map[string]*following{}, loaded: &state{},
	}
	f.services.Store((*serviceSet)(&c.Services))
	var err error
	f.metrics, err = newMetrics(o.Registerer,
		func() float64 { behind, _ := f.status(); return behind.Seconds() },
		func() float64 { _, troubles := f.status(); return float64(len(troubles)) })
	if err != nil {
		return nil, fmt.Errorf("maillog: %w", err)
	}
	if c.Enabled() {
		f.load()
	}
	return f, nil
}

func problemsOf(c Config) error {
	var problems []error
	c.Check(func(key, text string) { problems = append(problems, fmt.Errorf("maillog.%s: %s", key, text)) })
	return errors.Join(problems...)
}

// load reads the places. Without them every log is followed as if for the first
// time, and that is said.
func (f *Follower) load() {
	if f.dir == "" {
		f.log.Warn("there is no state directory: after a restart, what was written to the logs meanwhile is not read")
		return
	}
	s, err := loadState(f.dir)
	switch {
	case errors.Is(err, errNoState):
	case err != nil:
		aside, asideErr := setAside(f.dir, f.now())
		f.log.Error("the places in the logs cannot be read, so the logs are followed from their ends; the file was set aside",
			zap.NamedError("problem", err), zap.String("file", aside), zap.Error(asideErr))
	default:
		f.loaded = s
	}
}

// Run follows the logs until ctx ends, then saves the places and returns nil. It
// runs once.
func (f *Follower) Run(ctx context.Context) error {
	f.mu.Lock()
	f.running = ctx
	f.arrange()
	f.mu.Unlock()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			f.save()
		case <-f.begun: // or a crash within the first second would make it the first time again
			f.save()
		case <-ctx.Done():
		}
	}
	f.stop()
	f.save()
	return nil
}

func (f *Follower) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = nil
	for _, s := range f.sources {
		s.stop()
	}
	if f.journal != nil {
		f.journal.stop()
	}
}

// Reload takes over another configuration: logs that are new are followed, those
// that are gone are let go and forgotten, all others go on where they are.
func (f *Follower) Reload(c Config) error {
	if err := problemsOf(c); err != nil {
		return err
	}
	f.change(c)
	f.save()
	return nil
}

func (f *Follower) change(c Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.config
	f.config = c
	f.services.Store((*serviceSet)(&c.Services))
	f.twice.Clear()
	if f.running == nil {
		return
	}
	// Sources whose lines are now read otherwise begin anew, where they are.
	again := before.Timezone != c.Timezone || before.DovecotLines != c.DovecotLines
	for path, s := range f.sources {
		if again || !slices.Contains(c.Files, path) {
			s.stop()
			f.keep(path, s.remembered())
			delete(f.sources, path)
		}
	}
	if f.journal != nil && (again || !reflect.DeepEqual(before.Journal, c.Journal)) {
		f.journal.stop()
		f.loaded.Journal = f.journal.remembered()
		f.journal = nil
	}
	f.arrange()
}

// keep puts what is known of a log where arrange finds it.
func (f *Follower) keep(path string, l *fileLog) {
	if l == nil {
		return
	}
	if f.loaded.Files == nil {
		f.loaded.Files = map[string]*fileLog{}
	}
	f.loaded.Files[path] = l
}

// arrange starts what the configuration has and does not run yet. f.mu is held.
func (f *Follower) arrange() {
	how := f.config.parsing()
	for _, path := range f.config.Files {
		if f.sources[path] != nil {
			continue
		}
		s := newSource(f.shared, path, f.config.Since, how, f.loaded.Files[path])
		f.sources[path] = &following{s, start(f.running, s.run)}
	}
	f.loaded.Files = nil // what is left is of logs that are no longer followed
	if f.config.Journal.Enabled && f.journal == nil {
		j := newJournal(f.shared, f.config.Journal, f.config.Since, how, f.loaded.Journal)
		f.journal = &followingJournal{j, start(f.running, j.run)}
	}
	f.loaded.Journal = nil
}

// start runs something until ctx ends or it is stopped; stop returns when it has
// ended.
func start(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	return func() { cancel(); <-done }
}
