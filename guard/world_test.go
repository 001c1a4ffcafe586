package guard

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// testConfig is the shipped configuration, spelled out so that a change of the
// defaults does not change what these tests say.
func testConfig() Config {
	const day = 24 * time.Hour
	return Config{
		HalfLife:  time.Hour,
		Points:    PointsConfig{Failure: 1, UnknownAccount: 1, FurtherAccount: 1, FreeRepeats: 20},
		Client:    ClientConfig{Tarpit: 3, Refuse: 10, Ban: 20, IPv4: 32, IPv6: 64},
		Network:   NetworkConfig{Tarpit: 20, IPv4: 24, IPv6: 48},
		Account:   AccountConfig{Tarpit: 10, Refuse: 20},
		Familiar:  FamiliarConfig{For: 30 * day, Budget: 10, Office: 3},
		Passwords: PasswordsConfig{Remember: 3, For: 90 * day},
		Tarpit:    TarpitConfig{Max: 5 * time.Second, MaxSMTP: 4 * time.Second, HeldPostfix: 20, HeldDovecot: 50, HeldClient: 2},
		Waiting:   WaitingConfig{Max: 200 * time.Millisecond, HeldClient: 2, HeldHost: 16},
		Ban:       BanConfig{First: time.Hour, Max: 30 * day, Forget: 60 * day},
		Brake:     BrakeConfig{Networks: 10, Pause: 10 * time.Minute},

		AllowClients: []string{"127.0.0.0/8", "::1/128"},
	}
}

// clock is a clock that stands still unless it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a guard over a real memory store, with a clock of its own.
type world struct {
	*testing.T
	*clock
	guard    *Guard
	store    *memory.Store
	logs     *observer.ObservedLogs
	session  int
	markers  int
	hashes   map[string]int
	metrics  *prometheus.Registry
	sessions bool // every attempt is a session of its own
	seen     seen // what observers are told
}

// newWorld returns a guard that enforces, with the configuration changed.
func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	c := testConfig()
	if change != nil {
		change(&c)
	}
	return worldOf(t, c, true)
}

func worldOf(t *testing.T, c Config, enforce bool) *world {
	t.Helper()
	r, err := NewRules(c, enforce)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	w := &world{T: t, clock: &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}, logs: logs, sessions: true, hashes: map[string]int{}, metrics: prometheus.NewRegistry()}
	w.store, err = memory.Open(memory.Config{Subjects: 100_000, Bans: 10_000, Familiar: 10_000}, memory.Options{Now: w.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	var random uint64
	var mu sync.Mutex
	w.guard, err = New(Options{
		Rules: r, Scores: w.store, Ledger: w.store, Key: w.store.Key(), Host: "test", Now: w.Now,
		Own: []netip.Addr{netip.MustParseAddr("203.0.113.250")}, Logger: zap.New(core), Metric: w.metrics, Observe: w.seen.observe,
		Random: func() uint64 { mu.Lock(); defer mu.Unlock(); random++; return random },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.guard.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := w.store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	<-w.guard.Synced()
	return w
}

// attempt is a login by IMAP with a plain password.
func (w *world) attempt(client, login, password string) Attempt {
	w.session++
	a := Attempt{
		Face: Dovecot, Service: "imap", Client: netip.MustParseAddr(client), Login: login,
		Hash: w.hash(password), Mechanism: "PLAIN",
	}
	if w.sessions {
		a.Session = fmt.Sprint("session-", w.session)
	}
	return a
}

// hash is a hash like Dovecot's, of 12 bits, but one that never collides.
func (w *world) hash(password string) string {
	n, ok := w.hashes[password]
	if !ok {
		n = len(w.hashes)
		w.hashes[password] = n
	}
	return fmt.Sprintf("%04x", n%4096)
}

// ask asks about an attempt.
func (w *world) ask(a Attempt) Verdict {
	a.Outcome = score.Unknown
	return w.guard.Check(w.Context(), &a)
}

// tell counts an attempt's outcome and returns what it led to.
func (w *world) tell(a Attempt, o score.Outcome) Verdict {
	w.Helper()
	a.Outcome = o
	out := make([]Verdict, 1)
	if err := w.guard.Apply(w.Context(), []Attempt{a}, out); err != nil {
		w.Fatal(err)
	}
	if out[0].Entry != nil {
		w.follow()
	}
	return out[0]
}

// follow waits until the guard has heard of every change of the ledger.
func (w *world) follow() {
	w.Helper()
	w.markers++
	marker := store.Entry{Kind: store.Allow, Account: fmt.Sprint("marker-", w.markers), Reason: "test"}
	if _, err := w.store.Put(w.Context(), marker); err != nil {
		w.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if w.guard.table.now.Load().account(store.Allow, marker.Account, w.Now()) != nil {
			break
		}
		if time.Now().After(deadline) {
			w.Fatal("the guard does not follow the ledger")
		}
	}
	if _, err := w.store.Remove(w.Context(), marker); err != nil {
		w.Fatal(err)
	}
}

// login is a whole attempt as Dovecot makes it: a question, and unless it is
// refused the password is verified; then a report. right tells the outcome of
// a verification.
func (w *world) login(client, login, password string, right bool) Verdict {
	w.Helper()
	a := w.attempt(client, login, password)
	v := w.ask(a)
	switch {
	case v.Action == Refuse:
		w.tell(a, score.Refused)
	case right:
		w.tell(a, score.Success)
	default:
		w.tell(a, score.Failure)
	}
	return v
}

func (w *world) fail(client, login, password string) Verdict {
	w.Helper()
	return w.login(client, login, password, false)
}

func (w *world) succeed(client, login, password string) Verdict {
	w.Helper()
	return w.login(client, login, password, true)
}

// familiar makes an account familiar to an address's network.
func (w *world) familiar(client, login, password string) {
	w.Helper()
	if v := w.succeed(client, login, password); v.Action != Pass {
		w.Fatalf("%s at %s is not let in: %s", login, client, v.Reason())
	}
}

// guess tries n different wrong passwords and returns how many were verified.
func (w *world) guess(client, login string, n int) (verified int) {
	w.Helper()
	for i := range n {
		if v := w.fail(client, login, fmt.Sprintf("%s-wrong-%d", client, i)); v.Action != Refuse {
			verified++
		}
	}
	return verified
}

func (w *world) want(v Verdict, action Action, rule Rule) {
	w.Helper()
	if v.Action != action || v.Rule != rule {
		w.Errorf("%s by %q (%s), want %s by %q", v.Action, v.Rule, v.Reason(), action, rule)
	}
}

// bans are the automatic bans in force.
func (w *world) bans() []store.Entry {
	var all []store.Entry
	for _, e := range w.guard.table.now.Load().prefixes[store.AutomaticBan].All() {
		if e.Live(w.Now()) {
			all = append(all, *e)
		}
	}
	return all
}

// waiters is how many wait for a place.
func (w *world) waiters() int {
	w.guard.waiting.mu.Lock()
	defer w.guard.waiting.mu.Unlock()
	return w.guard.waiting.host
}
