package memory

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

const (
	noteQueue = 2048 // notes that may wait to be written
	noteBatch = 1024 // notes that one transaction holds
)

type forgotten struct {
	pairs int
	err   error
}

// notes writes down what is learnt of people. It alone changes them while there
// is a file: a pair is on disk before anybody relies on it.
type notes struct {
	people *people
	file   *boltfile.File // nil: nothing is durable
	meters *meters
	queue  chan note
	gather time.Duration
	done   <-chan struct{}

	// Gone from memory, and still in the file.
	gonePairs  map[pairKey]struct{}
	goneRights map[uint64]struct{}
	part       int // that is swept next
}

func newNotes(s *Store) *notes {
	return &notes{
		people: s.people, meters: s.meters, queue: make(chan note, noteQueue), gather: s.options.GatherFor, done: s.done,
		gonePairs: make(map[pairKey]struct{}), goneRights: make(map[uint64]struct{}),
	}
}

// forget forgets an account after all that was noted before.
func (w *notes) forget(ctx context.Context, account uint64) (int, error) {
	reply := make(chan forgotten, 1)
	select {
	case w.queue <- note{pair: pairKey{account: account}, forget: reply}:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-w.done:
		return 0, store.ErrClosed
	}
	select {
	case f := <-reply:
		return f.pairs, f.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-w.done:
		return 0, store.ErrClosed
	}
}

// run writes notes until the store is closed, and then those that still wait.
func (w *notes) run(sweep time.Duration, expire func() (now, rightSince int64)) {
	ticker := time.NewTicker(max(sweep/shards, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case n := <-w.queue:
			w.write(w.collect(n))
		case <-ticker.C:
			w.sweep(expire())
		case <-w.done:
			for {
				select {
				case n := <-w.queue:
					w.write(w.drain(n))
				default:
					w.write(nil)
					return
				}
			}
		}
	}
}

// collect waits a little for further notes, so that they share a transaction. A
// request to forget is not kept waiting.
func (w *notes) collect(first note) []note {
	batch := []note{first}
	timeout := time.NewTimer(w.gather)
	defer timeout.Stop()
	for len(batch) < noteBatch && batch[len(batch)-1].forget == nil {
		select {
		case n := <-w.queue:
			batch = append(batch, n)
		case <-timeout.C:
			return batch
		case <-w.done:
			return batch
		}
	}
	return batch
}

// drain takes what waits already.
func (w *notes) drain(first note) []note {
	batch := []note{first}
	for len(batch) < noteBatch && batch[len(batch)-1].forget == nil {
		select {
		case n := <-w.queue:
			batch = append(batch, n)
		default:
			return batch
		}
	}
	return batch
}

// write makes a batch durable and then visible. Only its last note may be a
// request to forget.
func (w *notes) write(batch []note) {
	var forget *note
	if n := len(batch); n > 0 && batch[n-1].forget != nil {
		forget, batch = &batch[n-1], batch[:n-1]
	}
	if err := w.save(batch); err != nil {
		w.meters.dropped.Add(float64(len(batch)))
	} else {
		for i := range batch {
			w.apply(&batch[i])
		}
	}
	if forget != nil {
		pairs, err := w.erase(forget.pair.account)
		forget.forget <- forgotten{pairs, err}
	}
}

// apply makes a note visible.
func (w *notes) apply(n *note) {
	if n.until != 0 {
		w.befriend(n.pair, n.until)
	}
	if n.rightAt != 0 {
		w.learn(n.pair.account, n.token, n.rightAt, n.keep)
	}
}

// befriend makes a pair familiar that the file has. One that went before, in the
// same batch, is there again.
func (w *notes) befriend(key pairKey, until uint32) {
	gone, evicted := w.people.befriend(key, until)
	if w.file == nil {
		return
	}
	delete(w.gonePairs, key)
	if evicted {
		w.gonePairs[gone] = struct{}{}
	}
}

// learn likewise notes a right password that the file has.
func (w *notes) learn(account uint64, token, at uint32, keep int) {
	gone, evicted := w.people.learn(account, token, at, keep)
	if w.file == nil {
		return
	}
	delete(w.goneRights, account)
	if evicted {
		w.goneRights[gone] = struct{}{}
	}
}

// save writes a batch and removes what is gone, in one transaction.
func (w *notes) save(batch []note) error {
	if w.file == nil || len(batch)+len(w.gonePairs)+len(w.goneRights) == 0 {
		return nil
	}
	err := w.file.Update(func(tx *bbolt.Tx) error {
		pairs, passwords := tx.Bucket([]byte(namePairs)), tx.Bucket([]byte(nameRights))
		for key := range w.gonePairs {
			if err := pairs.Delete(key.bytes()); err != nil {
				return err
			}
		}
		for account := range w.goneRights {
			if err := passwords.Delete(accountKey(account)); err != nil {
				return err
			}
		}
		return w.put(batch, pairs, passwords)
	})
	if err == nil {
		clear(w.gonePairs)
		clear(w.goneRights)
	}
	return err
}

func (w *notes) put(batch []note, pairs, passwords *bbolt.Bucket) error {
	changed := make(map[uint64]rights)
	for i := range batch {
		n := &batch[i]
		if n.until != 0 {
			key := n.pair.bytes()
			if err := pairs.Put(key, boltfile.Seal(key, encodePair(n.until))); err != nil {
				return err
			}
		}
		if n.rightAt != 0 {
			r, ok := changed[n.pair.account]
			if !ok {
				r = w.people.rightsOf(n.pair.account)
			}
			changed[n.pair.account] = r.with(n.token, n.rightAt, n.keep)
		}
	}
	for account, r := range changed {
		key := accountKey(account)
		if err := passwords.Put(key, boltfile.Seal(key, encodeRights(r))); err != nil {
			return err
		}
	}
	return nil
}

// erase forgets an account's pairs and passwords, in the file first.
func (w *notes) erase(account uint64) (int, error) {
	if w.file != nil {
		err := w.file.Update(func(tx *bbolt.Tx) error {
			prefix, pairs := accountKey(account), tx.Bucket([]byte(namePairs))
			if err := deletePrefix(pairs, prefix); err != nil {
				return err
			}
			return tx.Bucket([]byte(nameRights)).Delete(prefix)
		})
		if err != nil {
			return 0, err
		}
	}
	n := 0
	for _, key := range w.people.pairsOf(account) {
		if w.people.remove(key) {
			n++
		}
	}
	w.people.unlearn(account)
	return n, nil
}

// sweep drops what has ended, a part at a time, and removes it from the file
// once around.
func (w *notes) sweep(now, rightSince int64) {
	pairs, accounts := w.people.sweep(w.part, now, rightSince)
	if w.file != nil {
		for _, key := range pairs {
			w.gonePairs[key] = struct{}{}
		}
		for _, account := range accounts {
			w.goneRights[account] = struct{}{}
		}
	}
	w.part = (w.part + 1) % shards
	if w.part == 0 {
		w.write(nil)
	}
}
