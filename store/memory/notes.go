package memory

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

const (
	noteQueue = 2048 // notes that may wait to be written
	noteBatch = 1024 // notes that one transaction holds
	day       = int64(24 * time.Hour / time.Millisecond)
)

// note is what a successful login taught, or a request to forget an account.
type note struct {
	pair    pairKey
	until   uint32 // when the pair ceases to be familiar, Unix seconds; 0: nothing new
	token   uint32
	rightAt uint32 // when the token was right, Unix seconds; 0: nothing new
	keep    int
	forget  chan<- forgotten // set: forget the account instead
}

type forgotten struct {
	pairs int
	err   error
}

// notes writes down what is learnt of people. It alone changes them while there
// is a file: a pair is on disk before anybody relies on it.
type notes struct {
	people *people
	file   *file // nil: nothing is durable
	meters *meters
	queue  chan note
	gather time.Duration
	done   <-chan struct{}

	// Gone from memory, and still in the file.
	gonePairs  []pairKey
	goneRights []uint64
	part       int // that is swept next
}

// befriend notes what a success taught: that the pair is familiar, if it is
// already or the client owed less than its tarpit score, and which password is
// right.
func (s *Store) befriend(a *attempt, owed score.Milli) {
	r, seconds := a.op.Rules, a.now/1000
	n := note{pair: pairKey{a.marks.Account, a.marks.Network}}
	good := a.out.Familiar || r.Client.Tarpit == 0 || owed < r.Client.Tarpit
	if a.network && r.FamiliarFor > 0 && good {
		until := (a.now + r.FamiliarFor) / 1000
		if !a.out.Familiar || until-a.until >= refreshAfter(r.FamiliarFor) {
			n.until = uint32(until)
		}
	}
	if a.op.Secret == score.Sure && r.Remember > 0 && r.RememberFor > 0 {
		if a.out.Known != 1 || seconds-a.rightAt >= refreshAfter(r.RememberFor) {
			n.token, n.rightAt, n.keep = a.op.Token, uint32(seconds), r.Remember
		}
	}
	switch {
	case n.until == 0 && n.rightAt == 0:
	case s.file == nil:
		s.notes.apply(&n)
	default:
		select {
		case s.notes.queue <- n:
		default:
			// Only a disk that cannot keep up with logins gets here. The next
			// login teaches the same.
			s.meters.dropped.Inc()
		}
	}
}

// refreshAfter is by how many seconds what is remembered for a span of
// milliseconds must have aged before it is written again.
func refreshAfter(span int64) int64 { return max(min(day, span/4)/1000, 1) }

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
					w.write([]note{n})
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
		if gone, evicted := w.people.befriend(n.pair, n.until); evicted && w.file != nil {
			w.gonePairs = append(w.gonePairs, gone)
		}
	}
	if n.rightAt != 0 {
		if gone, evicted := w.people.learn(n.pair.account, n.token, n.rightAt, n.keep); evicted && w.file != nil {
			w.goneRights = append(w.goneRights, gone)
		}
	}
}

// save writes a batch and removes what is gone, in one transaction.
func (w *notes) save(batch []note) error {
	if w.file == nil || len(batch)+len(w.gonePairs)+len(w.goneRights) == 0 {
		return nil
	}
	err := w.file.update(func(tx *bbolt.Tx) error {
		pairs, passwords := tx.Bucket([]byte(namePairs)), tx.Bucket([]byte(nameRights))
		for _, key := range w.gonePairs {
			if err := pairs.Delete(key.bytes()); err != nil {
				return err
			}
		}
		for _, account := range w.goneRights {
			if err := passwords.Delete(accountKey(account)); err != nil {
				return err
			}
		}
		return w.put(batch, pairs, passwords)
	})
	if err == nil {
		w.gonePairs, w.goneRights = w.gonePairs[:0], w.goneRights[:0]
	}
	return err
}

func (w *notes) put(batch []note, pairs, passwords *bbolt.Bucket) error {
	changed := make(map[uint64]rights)
	for i := range batch {
		n := &batch[i]
		if n.until != 0 {
			key := n.pair.bytes()
			if err := pairs.Put(key, seal(key, encodePair(n.until))); err != nil {
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
		if err := passwords.Put(key, seal(key, encodeRights(r))); err != nil {
			return err
		}
	}
	return nil
}

// erase forgets an account's pairs and passwords, in the file first.
func (w *notes) erase(account uint64) (int, error) {
	if w.file != nil {
		err := w.file.update(func(tx *bbolt.Tx) error {
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
		w.gonePairs = append(w.gonePairs, pairs...)
		w.goneRights = append(w.goneRights, accounts...)
	}
	w.part = (w.part + 1) % shards
	if w.part == 0 {
		w.write(nil)
	}
}
