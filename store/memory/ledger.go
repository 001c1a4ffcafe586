package memory

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// entryKey is what an entry is of.
type entryKey struct {
	kind    store.EntryKind
	prefix  netip.Prefix
	account string
}

func keyOf(e *store.Entry) entryKey { return entryKey{e.Kind, e.Prefix, e.Account} }

// ledger holds the entries. Its goroutine alone changes them, and mu is held
// only to change or copy maps, never while anything is written or told.
type ledger struct {
	store    *Store
	limit    int // of automatic bans, and of histories
	reserve  int // entries beyond that which are left to operators
	requests chan *request
	mirrors  chan *mirrorRequest

	mu       sync.Mutex
	entries  map[entryKey]*kept // an entry is never changed, only replaced
	unshared int                // entries that no remote ledger is known to have
	over     int                // entries that have ended and are to be handed over
	waiting  map[entryKey]int64 // removals to be handed over, by when they were made
	lifted   map[entryKey]int64 // removals that the shared ledger knows
	counts   [store.AutomaticBan + 1]int
	watchers map[*watcher]struct{}
	position store.Position // after the last change that the watchers were told

	// The goroutine's own.
	history  map[entryKey]history
	ends     endings
	unbanned []netip.Prefix        // by the request under way
	mirrored string                // the name of the ledger being mirrored, "" for none yet
	placedIn string                // the name of the one that position is of: while its first snapshot is taken, another
	saved    store.Position        // the position that the file has
	scanned  store.Position        // up to which the snapshot being mirrored has everything
	seen     map[entryKey]struct{} // what the snapshot being mirrored has; nil outside of one
}

// request asks the ledger's goroutine to put or remove an entry.
type request struct {
	remove  bool
	pending bool // the removal is to be handed over to the remote ledger
	entry   store.Entry
	reply   chan answer
}

type answer struct {
	entry    store.Entry
	found    bool
	position store.Position // at which it is so; zero where others decide that
	err      error
}

// requestBatch is how many requests share a transaction.
const requestBatch = 256

func newLedger(s *Store, cfg Config) *ledger {
	return &ledger{
		store: s, limit: cfg.Bans, reserve: cfg.reserve(), requests: make(chan *request), mirrors: make(chan *mirrorRequest),
		entries: make(map[entryKey]*kept), waiting: make(map[entryKey]int64), lifted: make(map[entryKey]int64),
		watchers: make(map[*watcher]struct{}), history: make(map[entryKey]history),
	}
}

// Put implements store.Ledger. The entry is on disk when it returns; where it
// cannot be written Put fails and the entry is not in force. Errors wrap
// store.ErrInvalid, store.ErrFull, store.ErrClosed or what the disk said. After
// ctx's error the entry may be in force yet: ctx ends the waiting, not the write.
func (s *Store) Put(ctx context.Context, e store.Entry) (store.Entry, error) {
	got, _, err := s.PutPosition(ctx, e)
	return got, err
}

// PutPosition implements store.Ledger, with the errors of Put.
func (s *Store) PutPosition(ctx context.Context, e store.Entry) (store.Entry, store.Position, error) {
	if err := e.Check(); err != nil {
		return store.Entry{}, store.Position{}, err
	}
	a := s.ledger.ask(ctx, &request{entry: e})
	if a.err == nil && a.entry.Kind == store.AutomaticBan && !a.entry.Observed && a.entry.Prefix.IsValid() {
		// The score says why it was banned; the ring has done its work.
		key := s.hasher.Prefix('c', a.entry.Prefix)
		s.shards[shardOf(key)].freeRing(key, score.Client, s.nowMillis(), s.lastRules())
	}
	return a.entry, a.position, a.err
}

// Remove implements store.Ledger, with the errors of Put.
func (s *Store) Remove(ctx context.Context, e store.Entry) (bool, error) {
	found, _, err := s.RemovePosition(ctx, e)
	return found, err
}

// RemovePosition implements store.Ledger, with the errors of Put.
func (s *Store) RemovePosition(ctx context.Context, e store.Entry) (bool, store.Position, error) {
	if err := e.CheckName(); err != nil {
		return false, store.Position{}, err
	}
	a := s.ledger.ask(ctx, &request{remove: true, entry: e})
	return a.found, a.position, a.err
}

func (l *ledger) ask(ctx context.Context, r *request) answer {
	if l.store.closed.Load() {
		return answer{err: store.ErrClosed}
	}
	r.reply = make(chan answer, 1)
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	case <-l.store.done:
		return answer{err: store.ErrClosed}
	}
	select {
	case a := <-r.reply:
		return a
	case <-ctx.Done():
		// The disk takes too long for whoever asked. It is carried out
		// nevertheless, if the disk ever answers.
		return answer{err: ctx.Err()}
	}
}

// run serves requests and ends entries whose time is over.
func (l *ledger) run() {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		select {
		case r := <-l.requests:
			l.serve(l.collect(r))
		case m := <-l.mirrors:
			m.reply <- l.mirror(m)
		case <-ticker.C:
			l.expire()
			l.savePosition()
		case <-l.store.done:
			l.savePosition()
			return
		}
	}
}

// collect takes the requests that wait already: while one transaction is being
// written, the next fills up.
func (l *ledger) collect(first *request) []*request {
	batch := []*request{first}
	for len(batch) < requestBatch {
		select {
		case r := <-l.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// serve decides a batch, writes it, and then announces it. Where it cannot be
// written nothing of it has happened.
func (l *ledger) serve(batch []*request) {
	d := l.newDraft()
	answers := make([]answer, len(batch))
	for i, r := range batch {
		if r.remove {
			answers[i] = d.remove(&r.entry, r.pending)
		} else {
			answers[i] = d.put(r.entry)
		}
	}
	if err := d.save(); err != nil {
		for i := range answers {
			answers[i] = answer{err: err}
		}
	} else {
		d.apply()
		for i := range answers {
			if !l.store.options.Shared && answers[i].err == nil {
				answers[i].position = l.position
			}
		}
	}
	for i, r := range batch {
		r.reply <- answers[i]
	}
}

// count is how many entries of a kind there are.
func (l *ledger) count(kind store.EntryKind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[kind]
}

// set puts an entry, or with nil removes it. Whoever calls holds mu, or is alone.
func (l *ledger) set(k entryKey, e *kept) {
	if old, known := l.entries[k]; known {
		l.counts[k.kind]--
		if !old.shared {
			l.unshared--
		}
		if old.over {
			l.over--
		}
		delete(l.entries, k)
	}
	if e == nil {
		return
	}
	l.entries[k] = e
	l.counts[k.kind]++
	if !e.shared {
		l.unshared++
	}
	if e.over {
		l.over++
		return
	}
	if !e.Until.IsZero() {
		l.ends.add(ending{at: e.Until.UnixMilli(), key: k})
	}
}

// live returns the entry in force under a key.
func live(e *kept, now time.Time) *kept {
	if e != nil && e.Live(now) {
		return e
	}
	return nil
}

// entry is an entry of which only the name counts.
func (k entryKey) entry() store.Entry {
	return store.Entry{Kind: k.kind, Prefix: k.prefix, Account: k.account}
}
