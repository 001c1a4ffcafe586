package failover_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/store/storetest"
)

// deadline is short, so that a test waits for it often.
const deadline = 60 * time.Millisecond

// bans is how many a host's ledger takes, and the shared one: few, so that a
// test can fill them.
const bans = 1000

type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is a shared store and the hosts that use it.
type world struct {
	*testing.T
	clock  *clock
	dir    string
	shared *memory.Store
	ids    atomic.Uint64
}

// host is one of them.
type host struct {
	*failover.Store
	w      *world
	local  *memory.Store
	remote *remote
	logs   *observer.ObservedLogs
	meters *prometheus.Registry
}

func newWorld(t *testing.T) *world {
	before := runtime.NumGoroutine()
	w := &world{T: t, clock: &clock{}, dir: t.TempDir()}
	w.clock.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	w.shared = w.memory("shared.db", false)
	// Registered first, so that it looks last.
	t.Cleanup(func() {
		w.closed(w.shared)
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				b := make([]byte, 1<<20)
				t.Fatalf("goroutines are left:\n%s", b[:runtime.Stack(b, true)])
			}
		}
	})
	return w
}

// memory opens a host's own store, or the one that stands for the shared one.
func (w *world) memory(file string, copied bool) *memory.Store {
	w.Helper()
	opts := memory.Options{Shared: copied, Now: w.clock.now, GatherFor: time.Millisecond, SweepEvery: 64 * time.Millisecond}
	if file != "" {
		opts.Path = filepath.Join(w.dir, file)
	}
	s, err := memory.Open(memory.Config{Subjects: 100_000, Bans: bans, Familiar: 10_000}, opts)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) closed(s store.Store) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		w.Errorf("Close: %v", err)
	}
}

// host starts a host whose state is in a file, with a shared store in a mood.
func (w *world) host(file string, m mood, change ...func(*failover.Options)) *host {
	w.Helper()
	core, logs := observer.New(zap.InfoLevel)
	h := &host{w: w, local: w.memory(file, true), logs: logs, meters: prometheus.NewRegistry()}
	h.remote = &remote{inner: w.shared, now: w.clock.now}
	h.remote.be(m)
	opts := failover.Options{
		Deadline: deadline, ProbeEvery: 20 * time.Millisecond, Now: w.clock.now, Logger: zap.New(core), Registerer: h.meters,
	}
	for _, f := range change {
		f(&opts)
	}
	var err error
	if h.Store, err = failover.New(h.local, h.remote, opts); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { w.closed(h) })
	if m == well {
		h.joined(true)
	}
	return h
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

// joined waits until the host shares the store, or does not.
func (h *host) joined(want bool) {
	h.w.Helper()
	h.w.eventually("joined", func() bool { ok, _ := h.Health(); return ok == want })
}

func (h *host) has(p netip.Prefix, want bool) {
	h.w.Helper()
	h.w.eventually("the local ledger and "+p.String(), func() bool {
		e := ban(p)
		_, ok := entriesOf(h.local)[name(&e)]
		return ok == want
	})
}

func (h *host) logged(text string) int { return h.logs.FilterMessageSnippet(text).Len() }

func (h *host) metric(name string) float64 {
	h.w.Helper()
	families, err := h.meters.Gather()
	if err != nil {
		h.w.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		}
	}
	h.w.Fatalf("no metric %s", name)
	return 0
}

// attempt makes an attempt of a client, and takes its time.
func (h *host) attempt(v store.Verb, o score.Outcome, client netip.Prefix, token uint32) (store.Standing, time.Duration) {
	h.w.Helper()
	out := make([]store.Standing, 1)
	op := h.w.op(v, o, client, token)
	began := time.Now()
	if err := h.Do(context.Background(), []store.Op{op}, out); err != nil {
		h.w.Errorf("Do: %v", err)
	}
	return out[0], time.Since(began)
}

func (w *world) op(v store.Verb, o score.Outcome, client netip.Prefix, token uint32) store.Op {
	return store.Op{
		Verb: v, ID: w.ids.Add(1), Outcome: o, Client: client, Network: netip.PrefixFrom(client.Addr(), 24).Masked(),
		Account: "alice@example.org", Secret: score.Sure, Token: token, Count: 1, Rules: rules(),
	}
}

var rules = sync.OnceValue(storetest.Rules)

// points are what the shared store knows of a client.
func (w *world) points(client netip.Prefix) int {
	out := make([]store.Standing, 1)
	if err := w.shared.Do(context.Background(), []store.Op{w.op(store.Look, 0, client, 0)}, out); err != nil {
		w.Error(err)
	}
	return int(out[0].Client.Score)
}

func client(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 7}), 32)
}

func ban(p netip.Prefix) store.Entry {
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: p, Reason: "guessing", Rule: "client", By: "mx1",
		Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 60 * 24 * time.Hour},
	}
}

func (h *host) put(e store.Entry) store.Entry {
	h.w.Helper()
	began := time.Now()
	got, err := h.Put(context.Background(), e)
	if err != nil {
		h.w.Fatalf("Put: %v", err)
	}
	if d := time.Since(began); d > deadline+3*time.Second { // a disk is in it, and a busy machine
		h.w.Errorf("Put took %v", d)
	}
	return got
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		w := newWorld(t)
		h := w.host("local.db", well)
		return storetest.Fixture{Store: h, Now: w.clock.now, Advance: w.clock.advance, Bans: bans, Reopen: func() store.Store {
			w.closed(h)
			w.closed(w.shared)
			w.shared = w.memory("shared.db", false)
			h = w.host("local.db", well)
			return h
		}}
	})
}

func TestKeyIsTheRemotes(t *testing.T) {
	w := newWorld(t)
	if a, b := w.host("", failing), w.host("", well); a.Key() != b.Key() || a.Key() != w.shared.Key() {
		t.Error("hosts have different keys")
	}
}
