package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/store"
)

// model is a backend over the kernel of the shadow's tests: it refuses what a kernel
// would, and fails when it is told to. The real ones have tests of their own.
type model struct {
	traits Traits

	mu       sync.Mutex
	kernel   kernel
	fails    error
	missing  string
	rebuilds int
}

func (m *model) Name() string                { return "model" }
func (m *model) Traits() Traits              { return m.traits }
func (m *model) Close(context.Context) error { return nil }

func (m *model) Replace(_ context.Context, all []Element) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	m.kernel, m.missing = kernel{}, ""
	m.rebuilds++
	for _, e := range all {
		if err := m.kernel.apply([]Change{{Element: e}}, momentOf(time.Now())); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) Apply(_ context.Context, changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	return m.kernel.apply(changes, momentOf(time.Now()))
}

func (m *model) Intact(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.missing, m.fails
}

func (m *model) Remove(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	m.kernel = kernel{}
	return nil
}

func (m *model) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = err
}

// denied lists what the backend keeps out.
func (m *model) denied() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for set, elements := range m.kernel {
		for p := range elements {
			if set.layer().Denies() {
				all = append(all, p.String())
			}
		}
	}
	slices.Sort(all)
	return all
}

// told is a source that says what a test has it say.
type told chan store.Event

// Watch implements Source.
func (c told) Watch(ctx context.Context, f func(store.Event) error) error {
	for {
		select {
		case e := <-c:
			if err := f(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type fixture struct {
	*testing.T
	*Agent
	backend *model
	source  told
	at      uint64
}

// newFixture runs an agent until the test ends.
func newFixture(t *testing.T, traits Traits, change func(*Settings), logs ...*zap.Logger) *fixture {
	t.Helper()
	f := &fixture{T: t, backend: &model{traits: traits, kernel: kernel{}}, source: make(told)}
	s := Settings{Config: good(), Enforce: true}
	if change != nil {
		change(&s)
	}
	var err error
	f.Agent, err = New(Options{
		Settings: s, Source: f.source, Backend: f.backend, Logger: append(logs, zap.NewNop())[0],
		Own: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("198.51.100.5")}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Agent.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

// say has the source tell an event, and returns its position.
func (f *fixture) say(e store.Event) store.Position {
	f.at++
	e.Position = store.Position{Millis: f.at}
	f.source <- e
	return e.Position
}

// snapshot tells a whole ledger.
func (f *fixture) snapshot(ledger string, bans ...string) store.Position {
	f.say(store.Event{Kind: store.Reset, Ledger: ledger})
	for _, b := range bans {
		f.say(store.Event{Kind: store.Put, Entry: ban(b)})
	}
	return f.say(store.Event{Kind: store.Synced})
}

func ban(prefix string) store.Entry {
	return store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix(prefix), Until: time.Now().Add(time.Hour)}
}

func (f *fixture) becomes(what string, so func() bool) {
	f.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("never: %s; %+v, %v", what, f.State(), f.backend.denied())
		}
	}
}

// wants waits until a position is enforced, and holds what is denied then to it.
func (f *fixture) wants(at store.Position, denied ...string) {
	f.Helper()
	f.becomes("the position is enforced", func() bool { return f.State().Position.Compare(at) >= 0 })
	if got := f.backend.denied(); !slices.Equal(got, denied) {
		f.Errorf("denied are %v, want %v", got, denied)
	}
}

var kernelTraits = Traits{Layered: true, Expires: true}

// Of a ledger that was lost the bans are not lifted, until its successor had time to
// be told of them.
func TestALostLedger(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kernelTraits, nil)
	f.wants(f.snapshot("a", "203.0.113.1/32", "203.0.113.2/32"), "203.0.113.1/32", "203.0.113.2/32")
	f.wants(f.snapshot("a", "203.0.113.1/32", "203.0.113.3/32"), "203.0.113.1/32", "203.0.113.3/32")
	f.wants(f.snapshot("b"), "203.0.113.1/32", "203.0.113.3/32")
	f.wants(f.say(store.Event{Kind: store.Removed, Entry: ban("203.0.113.3/32")}), "203.0.113.1/32")
	f.wants(f.say(store.Event{Kind: store.Put, Entry: ban("203.0.113.4/32")}), "203.0.113.1/32", "203.0.113.4/32")
	f.wants(f.snapshot("b", "203.0.113.4/32"), "203.0.113.4/32")
}

// Before the first snapshot is complete nothing is touched, and an interrupted one
// changes nothing.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kernelTraits, nil)
	f.say(store.Event{Kind: store.Reset})
	f.say(store.Event{Kind: store.Put, Entry: ban("203.0.113.1/32")})
	time.Sleep(20 * time.Millisecond)
	if s := f.State(); s.State != Starting || f.backend.rebuilds != 0 {
		t.Errorf("%+v, built %d times", s, f.backend.rebuilds)
	}
	f.wants(f.snapshot("", "203.0.113.2/32"), "203.0.113.2/32")
	f.say(store.Event{Kind: store.Reset})
	f.wants(f.snapshot("", "203.0.113.2/32", "203.0.113.3/32"), "203.0.113.2/32", "203.0.113.3/32")
	f.wants(f.say(store.Event{Kind: store.Reached}), "203.0.113.2/32", "203.0.113.3/32")
	account := store.Entry{Kind: store.OperatorBan, Account: "alice@example.org"}
	observed := ban("203.0.113.2/32")
	observed.Observed = true
	f.say(store.Event{Kind: store.Put, Entry: account})
	f.wants(f.say(store.Event{Kind: store.Put, Entry: observed}), "203.0.113.3/32")
}

// A backend that fails is told everything when it no longer does, and until then
// nothing counts as enforced.
func TestABackendThatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kernelTraits, nil)
	before := f.snapshot("", "203.0.113.1/32")
	f.wants(before, "203.0.113.1/32")
	fail := func(err error, missing string) {
		f.backend.mu.Lock()
		defer f.backend.mu.Unlock()
		f.backend.fails, f.backend.missing = err, missing
	}
	fail(errors.New("no\nroom"), "")
	at := f.say(store.Event{Kind: store.Put, Entry: ban("203.0.113.2/32")})
	f.becomes("it says that it fails", func() bool { return f.State().State == Failing })
	if s := f.State(); s.Position != before || s.Error != "no?room" {
		t.Errorf("%+v", s)
	}
	fail(nil, "")
	f.wants(at, "203.0.113.1/32", "203.0.113.2/32")
	if s := f.State(); s.State != Running || s.Error != "no?room" {
		t.Errorf("%+v", s)
	}
	rebuilds := f.backend.rebuilds
	fail(nil, "the table")
	f.becomes("it is built anew", func() bool {
		f.backend.mu.Lock()
		defer f.backend.mu.Unlock()
		return f.backend.rebuilds > rebuilds
	})
}

// A backend without layers is told of nothing that would deny somebody who is to
// pass, and one that does not end bans is told their end.
func TestWithoutLayers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Traits{}, func(s *Settings) { s.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")} })
	f.wants(f.snapshot("", "192.0.2.7/32", "192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24", "10.0.0.0/7", "203.0.113.1/32"),
		"203.0.113.0/24", "203.0.113.1/32")
	f.wants(f.say(store.Event{Kind: store.Put, Entry: store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("203.0.113.128/25")}}), "203.0.113.1/32")
	short := ban("203.0.113.2/32")
	short.Until = time.Now().Add(500 * time.Millisecond)
	f.say(store.Event{Kind: store.Put, Entry: short})
	f.becomes("the ban is lifted", func() bool { return slices.Equal(f.backend.denied(), []string{"203.0.113.1/32"}) })
	for set := range f.backend.kernel {
		if !set.layer().Denies() && len(f.backend.kernel[set]) > 0 {
			t.Errorf("it was told of the layer %s", set.layer())
		}
	}
}

// There are never more bans than max_bans, and operators' come first.
func TestMaxBans(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kernelTraits, func(s *Settings) { s.Config.MaxBans = 3 })
	f.say(store.Event{Kind: store.Reset})
	for _, b := range []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "203.0.113.4/32"} {
		f.say(store.Event{Kind: store.Put, Entry: ban(b)})
	}
	operator := ban("192.0.2.1/32")
	operator.Kind = store.OperatorBan
	f.say(store.Event{Kind: store.Put, Entry: operator})
	at := f.say(store.Event{Kind: store.Synced})
	f.becomes("it is enforced", func() bool { return f.State().Position.Compare(at) >= 0 })
	if got := f.backend.denied(); len(got) != 3 || !slices.Contains(got, "192.0.2.1/32") {
		t.Errorf("denied are %v", got)
	}
	at = f.say(store.Event{Kind: store.Put, Entry: ban("203.0.113.9/32")})
	f.becomes("it is enforced", func() bool { return f.State().Position.Compare(at) >= 0 })
	before := f.backend.denied()
	if len(before) != 3 {
		t.Errorf("denied are %v", before)
	}
	// The same ones stay, whatever else comes: who is kept out does not change by chance.
	for range 5 {
		f.say(store.Event{Kind: store.Put, Entry: store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("192.0.2.77/32")}})
		f.wants(f.say(store.Event{Kind: store.Removed, Entry: store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("192.0.2.77/32")}}), before...)
	}
	operator.Prefix = netip.MustParsePrefix("192.0.2.2/32")
	at = f.say(store.Event{Kind: store.Put, Entry: operator})
	f.becomes("it is enforced", func() bool { return f.State().Position.Compare(at) >= 0 })
	if got := f.backend.denied(); len(got) != 3 || !slices.Contains(got, "192.0.2.1/32") || !slices.Contains(got, "192.0.2.2/32") {
		t.Errorf("denied are %v", got)
	}
	at = f.say(store.Event{Kind: store.Removed, Entry: operator})
	f.becomes("it is enforced", func() bool { return f.State().Position.Compare(at) >= 0 })
	if got := f.backend.denied(); len(got) != 3 {
		t.Errorf("there is room, and denied are %v", got)
	}
}

// What another program undoes again and again is mended each time, and said once.
func TestAFight(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	f := newFixture(t, kernelTraits, nil, zap.New(core))
	f.wants(f.snapshot("", "203.0.113.1/32"), "203.0.113.1/32")
	for range 3 {
		f.backend.mu.Lock()
		f.backend.missing = "the table"
		rebuilds := f.backend.rebuilds
		f.backend.mu.Unlock()
		f.becomes("it is built anew", func() bool {
			f.backend.mu.Lock()
			defer f.backend.mu.Unlock()
			return f.backend.rebuilds > rebuilds
		})
	}
	if n := logs.FilterMessageSnippet("another program").Len(); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if n := logs.FilterMessage("the firewall has been built").Len(); n != 2 {
		t.Errorf("that it was built was said %d times", n)
	}
}

// What cannot be removed, because it observes or is paused, is tried again until it
// is gone, and until then nobody is told that nothing is in force.
func TestWithdrawing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kernelTraits, nil)
	f.wants(f.snapshot("", "203.0.113.1/32"), "203.0.113.1/32")
	f.backend.fail(errors.New("no"))
	if err := f.Pause(t.Context(), false, 0); err == nil {
		t.Error("it was removed")
	}
	if s := f.State(); s.State != Failing || s.Bans != 1 || s.Error != "no" {
		t.Errorf("%+v", s)
	}
	f.backend.fail(nil)
	f.becomes("it is paused", func() bool { s := f.State(); return s.State == Paused && s.Bans == 0 })
	f.wants(store.Position{})
	if err := f.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wants(store.Position{}, "203.0.113.1/32")

	// Observing goes before a pause that keeps the bans.
	if err := f.Pause(t.Context(), true, 0); err != nil {
		t.Fatal(err)
	}
	f.wants(store.Position{}, "203.0.113.1/32")
	f.backend.fail(errors.New("no"))
	if err := f.Reload(t.Context(), Settings{Config: good()}); err == nil {
		t.Error("it was removed")
	}
	f.backend.fail(nil)
	f.becomes("it observes", func() bool { s := f.State(); return s.State == Observing && s.Bans == 0 })
	f.wants(store.Position{})
}
