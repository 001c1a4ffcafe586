package redis

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// nobody is a client of an address where nobody listens.
func nobody(t *testing.T) goredis.UniversalClient {
	t.Helper()
	client, err := Connect(testConfig(freeAddr(t)))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestANewStoreNeedsNoRedis holds that the key is the same while Redis is away.
func TestANewStoreNeedsNoRedis(t *testing.T) {
	cfg := testConfig("127.0.0.1:1")
	key := func(cfg Config) [16]byte { return openOver(t, nobody(t), cfg, Options{}).Key() }
	first := key(cfg)
	if first == [16]byte{} || key(cfg) != first {
		t.Error("the key is zero, or not the same again")
	}
	cfg.Password = "of Redis"
	if key(cfg) != first {
		t.Error("a password changes the key where there is a hash key")
	}
	cfg.HashKey = ""
	byPassword := key(cfg)
	cfg.Password = ""
	cfg.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(cfg.PasswordFile, []byte("of Redis\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if byPassword == first || key(cfg) != byPassword {
		t.Error("the key is not derived from the password")
	}
	cfg.PasswordFile = ""
	if k := key(cfg); k == first || k == byPassword {
		t.Error("the key is not derived from the prefix")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	cfg := testConfig("127.0.0.1:1")
	cfg.Prefix = "a{b}"
	if _, err := New(nobody(t), cfg, Options{}); err == nil {
		t.Error("a prefix with braces passes")
	}
	cfg = testConfig("127.0.0.1:1")
	cfg.HashKey, cfg.PasswordFile = "", "/nowhere/at/all"
	if _, err := New(nobody(t), cfg, Options{}); err == nil {
		t.Error("a password file that cannot be read passes")
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	cfg, registry := testConfig("127.0.0.1:1"), prometheus.NewRegistry()
	s := openOver(t, nobody(t), cfg, Options{Registerer: registry})
	if _, err := New(nobody(t), cfg, Options{Registerer: registry}); err == nil {
		t.Error("registered twice")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 5 {
		t.Errorf("%d metrics: %v", len(families), err)
	}
	closeStore(t, s)
	openOver(t, nobody(t), cfg, Options{Registerer: registry})
}

func TestErrors(t *testing.T) {
	s := openOver(t, nobody(t), testConfig("127.0.0.1:1"), Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out := make([]store.Standing, 1)
	ops := []store.Op{guess(store.Look, 1, 1, storetest.Rules())}
	if err := s.Do(ctx, ops, out); err == nil || !strings.Contains(err.Error(), "1 attempts") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := s.ForgetAccount(ctx, "alice"); err == nil {
		t.Error("an account is forgotten where nobody listens")
	}
	if err := s.ForgetClient(ctx, netip.MustParsePrefix("192.0.2.1/32")); err == nil {
		t.Error("a client is forgotten where nobody listens")
	}
	if err := s.Do(ctx, []store.Op{{Account: "alice"}}, out); !errors.Is(err, errNoRules) {
		t.Errorf("without rules: %v", err)
	}
	if err := s.Do(ctx, nil, nil); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := s.Do(ended, ops, out); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	closeStore(t, s)
	if err := s.Do(ctx, ops, out); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := s.ForgetAccount(ctx, "alice"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAnswersOfAnotherLengthAreErrors(t *testing.T) {
	for _, n := range []int{0, answerHead, answerHead + readingSize - 1, answerHead + 2*readingSize} {
		if _, err := decodeAnswer(strings.Repeat("x", n), 1); !errors.Is(err, errAnswer) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestHintsAreBoundedAndForgotten(t *testing.T) {
	var h hints
	now := time.Unix(1_770_000_000, 0)
	for guess := range uint64(4 * hintsKept) {
		h.note(guess, 2, now)
	}
	if n := len(h.now) + len(h.old); n > 2*hintsKept {
		t.Errorf("%d hints are kept", n)
	}
	last := uint64(4*hintsKept - 1)
	if known, ok := h.find(last, now.Add(hintsLive)); !ok || known != 2 {
		t.Errorf("the last one is %d %v", known, ok)
	}
	if _, ok := h.find(last, now.Add(3*hintsLive)); ok {
		t.Error("a hint is never forgotten")
	}
	if _, ok := h.find(0, now); ok {
		t.Error("there is a hint for what cannot be told")
	}
	h.note(7, 1, now.Add(5*hintsLive))
	if _, ok := h.find(last, now.Add(5*hintsLive)); ok {
		t.Error("an old hint came back")
	}
}

// TestNetworksOfALength forgets a client of a network that is not as long as
// networks usually are.
func TestNetworksOfALength(t *testing.T) {
	cfg := testConfig(startServer(t, "--appendonly", "no").addr)
	r := storetest.Rules()
	for _, bits := range []int{20, 24} {
		s := openStore(t, cfg, Options{})
		op := guess(store.Record, bits, 1, r)
		op.Network = around(op.Client, bits)
		doOne(t, s, op)
		if err := s.ForgetClient(context.Background(), op.Client); err != nil {
			t.Fatal(err)
		}
		op.Verb = store.Look
		if got := doOne(t, s, op); got.Client != (score.Reading{}) || got.Network.Score < score.Point-1 {
			t.Errorf("/%d: client %+v, network %+v", bits, got.Client, got.Network)
		}
	}
}
