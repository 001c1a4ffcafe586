// Package redis is the store that all hosts of a cluster share: standalone
// Redis, Sentinel, Redis Cluster and Valkey, from version 6.2.
//
// Scores are kept by a Lua script, which transcribes package score. It works in the
// slot of a network, on the network, its clients and its pairs, and in the slot of an
// account, on its score, its right passwords and a copy of its familiar networks. An
// operation is both; those that come at the same time are one run of the script, and
// in a Cluster, where slots are apart, each half is a run, both sent in one pipeline.
// What is kept has the life of a score, and nothing needs a sweep.
//
// On failure: an operation returns the error and no standing, no later than its
// context allows. One of its halves may have been carried out then; a Record that is sent
// again counts once. A server that ran out of memory refuses what is new. The
// package keeps no state of its own that a failover of Redis could contradict,
// but for what it learnt about attempts in flight in the last seconds.
package redis

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// Options are what New needs beside the configuration.
type Options struct {
	// Logger gets what an operator should know; nil logs nothing.
	Logger *zap.Logger
	// Registerer gets the metrics; nil registers none.
	Registerer prometheus.Registerer
	// Now is the store's clock; nil is the clock of the Redis server, which is
	// the same for all hosts. Only tests need another.
	Now func() time.Time
}

// Store keeps scores and the ledger in Redis. It implements store.Store.
type Store struct {
	*ledger // Put, Remove, Watch

	client goredis.UniversalClient
	prefix string
	key    [16]byte
	hash   store.Hasher
	log    *zap.Logger
	now    func() time.Time // nil: the server's
	meters *meters

	script   script
	gatherer *gatherer                   // nil in a Cluster
	atOnce   int                         // operations that are asked at once
	rules    atomic.Pointer[packedRules] // the latest, packed
	lengths  lengths
	hints    hints // for a Cluster
	census   census

	closed  atomic.Bool
	stop    context.CancelFunc
	running sync.WaitGroup
	ended   chan struct{} // closed when Close has done everything
	err     error         // what Close returns, once ended is closed
}

var _ store.Store = (*Store)(nil)

// New returns the store over a client, which Connect makes and which Close
// closes. It waits for no connection.
func New(client goredis.UniversalClient, cfg Config, opts Options) (*Store, error) {
	if !isName(cfg.Prefix) {
		return nil, fmt.Errorf("%q is no prefix for keys", cfg.Prefix)
	}
	key, err := hashKey(&cfg)
	if err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = zap.NewNop()
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		client: client, prefix: cfg.Prefix, key: key, hash: store.NewHasher(key), log: log, now: opts.Now,
		meters: newMeters(), script: newScript(), atOnce: 256, census: census{limit: int64(cfg.MaxKeys)},
		stop: stop, ended: make(chan struct{}),
	}
	if err := s.meters.register(opts.Registerer, &s.census); err != nil {
		stop()
		return nil, fmt.Errorf("registering the metrics of Redis: %w", err)
	}
	if !cfg.Cluster {
		s.gatherer, s.atOnce = newGatherer(ctx, &s.running, cfg.Timeouts.Call, s.send), joined/2
	}
	s.ledger = newLedger(client, cfg, log, opts.Now)
	s.running.Go(func() { s.countKeys(ctx) })
	return s, nil
}

// hashKey derives the key of all hosts with the same configuration. It needs no
// Redis, so that a host that starts while Redis is away hashes like the others.
func hashKey(cfg *Config) ([16]byte, error) {
	secret := cfg.HashKey
	if secret == "" {
		var err error
		if secret, err = cfg.password(); err != nil {
			return [16]byte{}, err
		}
	}
	if secret == "" {
		secret = cfg.Prefix
	}
	sum := sha256.Sum256([]byte("saslguard hash key\x00" + secret))
	return [16]byte(sum[:16]), nil
}

// Key implements store.Store. It is derived from the configuration.
func (s *Store) Key() [16]byte { return s.key }

// Close implements store.Store. It closes the client, too: what is still under
// way fails. Calling it again waits for the first call and returns the same.
func (s *Store) Close(ctx context.Context) error {
	if s.closed.CompareAndSwap(false, true) {
		s.stop()
		go s.end()
	}
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) end() {
	defer close(s.ended)
	s.endLedger()
	s.running.Wait()
	s.meters.registered.Unregister()
	s.err = s.client.Close()
}
