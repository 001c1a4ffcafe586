// Package memory is the store that serves one host: everything is in memory,
// and a bbolt file keeps it over restarts.
//
// Bans, entries of the allowlist, familiar pairs and right passwords are in the
// file before they are in force. Scores are written every five seconds and when
// the store is closed; a host that dies forgets what was counted in its last
// five seconds, and every place in flight.
//
// On failure: a file that is damaged, not saslguard's or written by a newer
// version is set aside under another name, and a new one begun. A disk that
// cannot be written fails Put and Remove and keeps pairs and passwords from
// being learnt; scores go on in memory. Operations on scores never touch the
// file and do not fail for it.
package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

// Options are what Open needs beside the configuration. The zero value keeps
// nothing durable and runs by the system's clock.
type Options struct {
	// Path is the bbolt file, created with mode 0600 if there is none. With ""
	// nothing survives the process.
	Path string
	// Shared says that the ledger is this host's copy of one that hosts share:
	// its positions are that one's, and only Mirror moves them; what is lifted is
	// remembered, as are bans that ended before the shared one heard of them.
	Shared bool
	// Key is the key of a store without a file; the zero one is random. A key that
	// stays the same makes the same operations have the same outcome to the unit,
	// short hashes that collide included.
	Key [16]byte
	// Now is the store's clock; nil is time.Now. It decides what has lapsed,
	// decayed and expired, never how often the store looks.
	Now func() time.Time
	// Logger gets what an operator should know of the file; nil logs nothing.
	Logger *zap.Logger
	// Registerer gets the metrics; nil registers none.
	Registerer prometheus.Registerer
	// FlushEvery is how often changed scores are written; 0 is five seconds.
	FlushEvery time.Duration
	// GatherFor is how long pairs and passwords wait for others to share a
	// transaction; 0 is 50 ms.
	GatherFor time.Duration
	// Alone says that one goroutine at a time uses the store's scores, by Try. It locks
	// nothing for that, and what has decayed to nothing is found as operations come.
	Alone bool
	// SweepEvery is the time in which all that has decayed to nothing or ended
	// is found once; 0 is a minute. Bans end within a second in any case.
	SweepEvery time.Duration
}

func (o Options) filled() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Key == ([16]byte{}) {
		o.Key = newKey()
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.FlushEvery <= 0 {
		o.FlushEvery = 5 * time.Second
	}
	if o.GatherFor <= 0 {
		o.GatherFor = 50 * time.Millisecond
	}
	if o.SweepEvery <= 0 {
		o.SweepEvery = time.Minute
	}
	return o
}

// Store is the store of one host. It implements store.Store.
type Store struct {
	options Options
	key     [16]byte
	hasher  store.Hasher
	shards  [shards]shard
	people  *people
	notes   *notes
	ledger  *ledger
	file    *boltfile.File // nil: nothing is durable
	meters  *meters
	trials  sync.Pool                   // of *trial
	desk    *trial                      // for whoever is alone
	tries   int                         // that he has made
	rules   atomic.Pointer[score.Rules] // the latest that an operation came with

	closed  atomic.Bool
	done    chan struct{} // closed when the goroutines shall end
	running sync.WaitGroup
	ended   chan struct{} // closed when Close has done everything
	err     error         // what Close returns, once ended is closed
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Trier = (*Store)(nil)
)

// Open opens the store, and its file if it has one. It returns an error that
// wraps boltfile.ErrLocked if another process has the file open. A file that cannot be
// used is set aside and is no error.
func Open(cfg Config, opts Options) (*Store, error) {
	var problems []error
	cfg.Check(func(key, text string) { problems = append(problems, fmt.Errorf("%s: %s", key, text)) })
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	s := &Store{
		options: opts.filled(), people: newPeople(cfg.Familiar), meters: newMeters(),
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	s.key = s.options.Key
	s.ledger, s.notes = newLedger(s, cfg), newNotes(s)
	if err := s.openFile(cfg); err != nil {
		return nil, err
	}
	s.ledger.begin()
	s.hasher = store.NewHasher(s.key)
	if err := s.meters.register(opts.Registerer, s); err != nil {
		if s.file != nil {
			err = errors.Join(err, s.file.Close())
		}
		return nil, fmt.Errorf("registering the store's metrics: %w", err)
	}
	s.running.Go(s.ledger.run)
	s.running.Go(func() { s.notes.run(s.options.SweepEvery, s.horizon) })
	if s.options.Alone {
		s.desk = newTrial()
	} else {
		s.running.Go(s.sweepLoop)
	}
	s.running.Go(s.flushLoop)
	return s, nil
}

func (s *Store) initShards(cfg Config) {
	memory := newArena()
	for i := range s.shards {
		seed := binary.LittleEndian.Uint64(s.key[:]) + uint64(i)*0x9E3779B97F4A7C15
		s.shards[i].init(memory, (cfg.Subjects+shards-1)/shards, seed)
	}
}

// Key implements store.Store.
func (s *Store) Key() [16]byte { return s.key }

// Close implements store.Store. Calling it again waits for the first call and
// returns the same.
func (s *Store) Close(ctx context.Context) error {
	if s.closed.CompareAndSwap(false, true) {
		close(s.done)
		go s.end()
	}
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end ends the goroutines and writes what they left.
func (s *Store) end() {
	defer close(s.ended)
	s.running.Wait()
	s.meters.registered.Unregister()
	if s.file != nil {
		s.err = errors.Join(s.flush(), s.file.Close())
	}
}

func (s *Store) nowMillis() int64 { return max(s.options.Now().UnixMilli(), 0) }

// lastRules are the latest rules, or before any operation such as suffice to
// weigh subjects against each other.
func (s *Store) lastRules() *score.Rules {
	if r := s.rules.Load(); r != nil {
		return r
	}
	return &score.Rules{HalfLife: int64(time.Hour / time.Millisecond)}
}

// horizon is the present, and the time since which a password must have been
// right to be remembered, in Unix seconds.
func (s *Store) horizon() (now, rightSince int64) {
	now = s.nowMillis() / 1000
	if r := s.rules.Load(); r != nil && r.RememberFor > 0 {
		rightSince = now - r.RememberFor/1000
	}
	return now, rightSince
}

// sweepLoop frees the subjects that owe nothing any more, a shard at a time.
func (s *Store) sweepLoop() {
	ticker := time.NewTicker(max(s.options.SweepEvery/shards, time.Millisecond))
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % shards {
		select {
		case <-ticker.C:
			s.sweep(i)
		case <-s.done:
			return
		}
	}
}

// sweepTries is how many tries whoever is alone makes before it looks through a shard.
const sweepTries = 4096

// sweepNowAndThen does for whoever is alone what sweepLoop does for the others.
func (s *Store) sweepNowAndThen() {
	if s.tries++; s.tries%sweepTries == 0 {
		s.sweep(s.tries / sweepTries % shards)
	}
}

// sweep looks through one shard, and lets go of it now and then.
func (s *Store) sweep(i int) {
	r := s.rules.Load()
	if r == nil {
		return
	}
	for from := uint32(1); from != 0; {
		from = s.shards[i].sweep(from, 512, s.nowMillis, r)
	}
}
