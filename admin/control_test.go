package admin

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// world is a control API over a store in memory, and a client of it.
type world struct {
	*testing.T
	store   *memory.Store
	guard   *guard.Guard
	log     *eventlog.Log
	control *Control
	client  *client.Client
	socket  string
	agents  chan store.AgentState

	enforces *store.AgentState // the host's firewall agent; nil: none
	names    addressBook
	audit    *observer.ObservedLogs
	warned   *observer.ObservedLogs // what the control API warns of
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sg-admin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{T: t, socket: filepath.Join(dir, "control.sock"), agents: make(chan store.AgentState, 10)}
	w.store, err = memory.Open(memory.Config{Subjects: 10000, Bans: 1000, Familiar: 1000}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close(context.Background()) })
	w.makeGuard()
	core, logs := observer.New(zap.InfoLevel)
	w.audit = logs
	warnings, warned := observer.New(zap.WarnLevel)
	w.warned = warned
	w.control, err = NewControl(ControlConfig{}, ControlOptions{
		Host: "mx1", Version: "test", Guard: w.guard, Store: w.store, Events: w.log,
		Health: func() Health { return Health{} },
		Agent:  w.agent, TakeAgent: func(a store.AgentState) { w.agents <- a },
		Resolve: w.names.resolve,
		Logger:  zap.New(zapcore.NewTee(zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)).Core(), warnings)), AuditLogger: zap.New(core),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.serve("unix", w.socket)
	w.client = newClient(t, client.Options{Address: "unix:" + w.socket})
	return w
}

// makeGuard runs a guard with the shipped rules, and the log of its events.
func (w *world) makeGuard() {
	w.Helper()
	const day = 24 * time.Hour
	rules, err := guard.NewRules(guard.Config{
		HalfLife:  time.Hour,
		Points:    guard.PointsConfig{Failure: 1, UnknownAccount: 1, FurtherAccount: 1, FreeRepeats: 20},
		Client:    guard.ClientConfig{Tarpit: 3, Refuse: 10, Ban: 20, IPv4: 32, IPv6: 64},
		Network:   guard.NetworkConfig{Tarpit: 20, IPv4: 24, IPv6: 48},
		Account:   guard.AccountConfig{Tarpit: 10, Refuse: 20},
		Familiar:  guard.FamiliarConfig{For: 30 * day, Budget: 10, Office: 3},
		Passwords: guard.PasswordsConfig{Remember: 3, For: 90 * day},
		Tarpit:    guard.TarpitConfig{Max: 5 * time.Second, MaxSMTP: 4 * time.Second, HeldPostfix: 20, HeldDovecot: 50, HeldClient: 2},
		Ban:       guard.BanConfig{First: time.Hour, Max: 30 * day, Forget: 60 * day},
		Brake:     guard.BrakeConfig{Networks: 10, Pause: 10 * time.Minute},

		DefaultDomain: "lab.test", TrapAccounts: []string{"trap"},
		AllowClients: []string{"127.0.0.0/8", "::1/128", "198.51.100.64/26"},
	}, true)
	if err != nil {
		w.Fatal(err)
	}
	if w.log, err = eventlog.New(eventlog.Config{Keep: day, Max: 1000}, eventlog.Options{Logger: zap.NewNop()}); err != nil {
		w.Fatal(err)
	}
	w.guard, err = guard.New(guard.Options{
		Rules: rules, Scores: w.store, Ledger: w.store, Key: w.store.Key(), Host: "mx1", Observe: w.log.Observe,
		Own: []netip.Addr{netip.MustParseAddr("203.0.113.250")}, Logger: zap.NewNop(), Metric: prometheus.NewRegistry(),
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.guard.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	<-w.guard.Synced()
}

// agent is what the firewall agent of the host has said, if it has.
func (w *world) agent() *store.AgentState { return w.enforces }

// serve serves on one more address and returns it.
func (w *world) serve(network, address string) string {
	w.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.control.Serve(l) }()
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.control.Shutdown(ctx); err != nil {
			w.Error(err)
		}
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	return l.Addr().String()
}

func newClient(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A follower sees what is there, and then every change, as from the ledger
// itself.
func TestLedgerIsFollowed(t *testing.T) {
	w := newWorld(t)
	ban := store.Entry{Kind: store.OperatorBan, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Reason: "spam & <more>", By: "root"}
	if _, err := w.store.Put(t.Context(), ban); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := make(chan store.Event, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- w.client.Watch(ctx, func(e store.Event) error { events <- e; return nil })
	}()
	next := func(want store.EventKind) store.Event {
		t.Helper()
		select {
		case e := <-events:
			if e.Kind != want {
				t.Fatalf("got %+v, want kind %d", e, want)
			}
			return e
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing comes")
		}
		panic("not reached")
	}
	next(store.Reset)
	if e := next(store.Put); e.Entry.Prefix != ban.Prefix || e.Entry.Reason != ban.Reason || e.Entry.Kind != store.OperatorBan || !e.Entry.Until.IsZero() {
		t.Errorf("the ban there was: %+v", e.Entry)
	}
	next(store.Synced)
	account := store.Entry{Kind: store.Allow, Account: "alice@lab.test", Until: time.Now().Add(time.Hour).Truncate(time.Second)}
	if _, err := w.store.Put(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if e := next(store.Put); e.Entry.Account != account.Account || !e.Entry.Until.Equal(account.Until) {
		t.Errorf("a new entry: %+v", e.Entry)
	}
	if _, err := w.store.Remove(t.Context(), ban); err != nil {
		t.Fatal(err)
	}
	if e := next(store.Removed); e.Entry.Prefix != ban.Prefix {
		t.Errorf("removed: %+v", e.Entry)
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowersEndWhenTheServerStops(t *testing.T) {
	w := newWorld(t)
	ended := make(chan error, 1)
	synced := make(chan struct{})
	go func() {
		ended <- w.client.Watch(t.Context(), func(e store.Event) error {
			if e.Kind == store.Synced {
				close(synced)
			}
			return nil
		})
	}()
	<-synced
	if err := w.control.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("ended well")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the follower goes on")
	}
}

func TestAnAgentAcknowledges(t *testing.T) {
	w := newWorld(t)
	want := store.AgentState{Backend: "nftables", State: "running", Position: store.Position{Millis: 12, Number: 3}, Bans: 7}
	if err := w.client.Acknowledge(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := <-w.agents; got != want {
		t.Errorf("%+v", got)
	}
	if err := w.client.Acknowledge(t.Context(), store.AgentState{State: "running"}); err == nil {
		t.Error("an agent without a backend is taken")
	}
}
