package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

const (
	secret = "0123456789abcdef0123456789abcdef"
	bot    = "198.51.100.7"
	home   = "192.0.2.10"
	alice  = "alice@example.org"
)

// receiver is a webhook that checks signatures and keeps what it is sent.
type receiver struct {
	*httptest.Server
	testing *testing.T
	mu      sync.Mutex
	bodies  []body
	ids     []string
	status  func(n int) int // of the n-th request, from 1; nil: 204
}

func newReceiver(t *testing.T, status func(n int) int) *receiver {
	t.Helper()
	r := &receiver{testing: t, status: status}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	text, err := io.ReadAll(q.Body)
	if err != nil {
		r.testing.Error(err)
	}
	if got, want := q.Header.Get(HeaderSignature), Sign([]byte(secret), q.Header.Get(HeaderTimestamp), text); got != want {
		r.testing.Errorf("signed %q, want %q", got, want)
	}
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		r.testing.Errorf("%v: %s", err, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, q.Header.Get(HeaderID))
	status := http.StatusNoContent
	if r.status != nil {
		status = r.status(len(r.ids))
	}
	if status < 300 {
		r.bodies = append(r.bodies, b)
	}
	w.WriteHeader(status)
}

// wait returns what was taken once there are n messages, and sees that there are no
// more.
func (r *receiver) wait(n int) []body {
	r.testing.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		r.mu.Lock()
		bodies := r.bodies
		r.mu.Unlock()
		if len(bodies) > n {
			r.testing.Fatalf("%d messages, want %d; the last: %s", len(bodies), n, bodies[len(bodies)-1].Text)
		}
		if len(bodies) == n {
			return bodies
		}
		if time.Now().After(deadline) {
			r.testing.Fatalf("%d messages, want %d", len(bodies), n)
		}
	}
}

func (r *receiver) config() Config {
	c := testConfig()
	c.Webhook = WebhookConfig{URL: r.URL + "/hook/t0ken-in-the-path", Secret: secret}
	return c
}

func testConfig() Config {
	var events []string
	for _, k := range Kinds() {
		events = append(events, string(k))
	}
	return Config{Events: events, Digest: time.Hour, Again: 6 * time.Hour, MaxAge: 5 * time.Minute, SprayAccounts: 5, Guesses: 6}
}

// world is a guard over a real store, and a notifier that looks on.
type world struct {
	*testing.T
	guard    *guard.Guard
	store    *memory.Store
	notifier *Notifier
	metrics  *prometheus.Registry
	guesses  int
	mu       sync.Mutex
	time     time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

func rules(t *testing.T, enforce bool) *guard.Rules {
	const day = 24 * time.Hour
	r, err := guard.NewRules(guard.Config{
		HalfLife:  time.Hour,
		Points:    guard.PointsConfig{Failure: 1, UnknownAccount: 1, FurtherAccount: 1, FreeRepeats: 20},
		Client:    guard.ClientConfig{Tarpit: 3, Refuse: 10, Ban: 20, IPv4: 32, IPv6: 64},
		Network:   guard.NetworkConfig{Tarpit: 20, IPv4: 24, IPv6: 48},
		Account:   guard.AccountConfig{Tarpit: 10, Refuse: 20},
		Familiar:  guard.FamiliarConfig{For: 30 * day, Budget: 10, Office: 3},
		Passwords: guard.PasswordsConfig{Remember: 3, For: 90 * day},
		Ban:       guard.BanConfig{First: time.Hour, Max: 30 * day, Forget: 60 * day},
		Brake:     guard.BrakeConfig{Networks: 2, Pause: 10 * time.Minute},
	}, enforce)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newWorld(t *testing.T, c Config, enforce bool) *world {
	t.Helper()
	w := &world{T: t, metrics: prometheus.NewRegistry(), time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	var err error
	w.store, err = memory.Open(memory.Config{Subjects: 10_000, Bans: 1_000, Familiar: 1_000}, memory.Options{Now: w.now, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	w.notifier, err = New(c, Options{
		Host: "mx1", Logger: log, Registerer: w.metrics, Now: w.now,
		Describe: func(_ context.Context, a netip.Addr) string { return "DE, " + a.String() + " <b>Example</b>" },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.notifier.pause = time.Millisecond
	w.guard, err = guard.New(guard.Options{
		Rules: rules(t, enforce), Scores: w.store, Ledger: w.store, Key: w.store.Key(), Host: "mx1", Now: w.now,
		Logger: log, Observe: w.notifier.Observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.notifier.Run(ctx) })
	running.Go(func() {
		if err := w.guard.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := w.store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	<-w.guard.Synced()
	return w
}

// guess is an attempt with a password that nobody has tried before, at a time.
func (w *world) tell(client, login string, outcome score.Outcome) {
	w.Helper()
	w.guesses++
	a := guard.Attempt{
		Face: guard.Dovecot, Service: "imap", Client: netip.MustParseAddr(client), Login: login, Outcome: outcome,
		Hash: fmt.Sprintf("%03x", w.guesses), Mechanism: "PLAIN", Session: fmt.Sprint("s", w.guesses),
	}
	if err := w.guard.Apply(w.Context(), []guard.Attempt{a}, make([]guard.Verdict, 1)); err != nil {
		w.Fatal(err)
	}
}

// banned makes a ban of the store's own, as another host's would come.
func (w *world) put(e store.Entry) {
	w.Helper()
	if _, err := w.store.Put(w.Context(), e); err != nil {
		w.Fatal(err)
	}
}
