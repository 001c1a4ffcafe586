package memory

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
)

// draft is a batch of changes to the ledger that is decided and not written yet.
type draft struct {
	l       *ledger
	now     time.Time
	events  []store.Event
	entries map[entryKey]*kept   // nil: removed
	history map[entryKey]history // zero: forgotten
	growth  int

	removals map[entryKey]bool // whether the removal is to be handed over
}

func (l *ledger) newDraft() *draft {
	return &draft{
		l: l, now: millis(l.store.nowMillis()),
		entries: make(map[entryKey]*kept), history: make(map[entryKey]history), removals: make(map[entryKey]bool),
	}
}

// entry returns what is kept under a key, in force or not.
func (d *draft) entry(k entryKey) *kept {
	if e, ok := d.entries[k]; ok {
		return e
	}
	return d.l.entries[k]
}

func (d *draft) times(k entryKey) int {
	h, ok := d.history[k]
	if !ok {
		h = d.l.history[k]
	}
	if !h.recent(d.now) {
		return 0
	}
	return h.times
}

func (d *draft) put(e store.Entry) answer {
	k := keyOf(&e)
	if e.Since.IsZero() {
		e.Since = d.now
	}
	before := d.entry(k)
	if e.Kind == store.AutomaticBan {
		old := live(before, d.now)
		if old != nil && (!old.Observed || e.Observed) {
			return answer{entry: old.Entry, found: true}
		}
		e.Times = d.times(k) + 1
		if old != nil { // it was only observed until now: the same time
			e.Times = old.Times
		}
		if e.Until.IsZero() && e.Ladder.First > 0 {
			e.Until = d.now.Add(e.Ladder.Duration(e.Times))
		}
	}
	if !e.Until.IsZero() && !e.Until.After(d.now) {
		return answer{err: fmt.Errorf("%w: it was over at %s", store.ErrInvalid, e.Until)}
	}
	if before == nil && len(d.l.entries)+d.growth >= d.l.limit {
		return answer{err: store.ErrFull}
	}
	if before == nil {
		d.growth++
	}
	e.Since, e.Until = whole(e.Since), whole(e.Until)
	if e.Kind == store.AutomaticBan && !e.Until.IsZero() && e.Ladder.Forget > 0 {
		d.history[k] = history{times: e.Times, forget: e.Until.Add(e.Ladder.Forget).UnixMilli()}
	}
	e.Ladder = store.Ladder{}
	d.keep(k, &kept{Entry: e})
	return answer{entry: e, found: true}
}

// keep puts an entry. A removal that still waited to be handed over is outdated.
func (d *draft) keep(k entryKey, e *kept) {
	d.entries[k] = e
	d.markRemoval(k, false)
	d.events = append(d.events, store.Event{Kind: store.Put, Entry: e.Entry})
}

func (d *draft) remove(e *store.Entry, pending bool) answer {
	k := keyOf(e)
	if !d.markRemoval(k, pending) {
		return answer{err: store.ErrFull}
	}
	if d.times(k) > 0 {
		d.history[k] = history{}
	}
	old := d.entry(k)
	if old == nil {
		return answer{}
	}
	d.drop(k)
	return answer{found: old.Live(d.now)}
}

// drop removes an entry that there is.
func (d *draft) drop(k entryKey) {
	d.growth--
	d.entries[k] = nil

	d.events = append(d.events, store.Event{Kind: store.Removed, Entry: k.entry()})
}

// save writes the draft in one transaction.
func (d *draft) save() error {
	f := d.l.store.file
	if f == nil || d.empty() {
		return nil
	}
	return f.update(func(tx *bbolt.Tx) error {
		entries, past := tx.Bucket([]byte(nameLedger)), tx.Bucket([]byte(nameHistory))
		for k, e := range d.entries {
			key := k.bytes()
			if err := putOrDelete(entries, key, e != nil, func() []byte { return e.encode() }); err != nil {
				return err
			}
		}
		for k, h := range d.history {
			key := k.bytes()
			if err := putOrDelete(past, key, h.times > 0, func() []byte { return encodeHistory(h) }); err != nil {
				return err
			}
		}
		return d.saveRemovals(tx)
	})
}

// empty tells whether there is nothing to write.
func (d *draft) empty() bool { return len(d.entries)+len(d.history)+len(d.removals) == 0 }

func putOrDelete(b *bbolt.Bucket, key []byte, put bool, value func() []byte) error {
	if !put {
		return b.Delete(key)
	}
	return b.Put(key, seal(key, value()))
}

// apply makes the draft visible and tells the watchers.
func (d *draft) apply() {
	l := d.l
	for k, h := range d.history {
		if h.times == 0 {
			delete(l.history, k)
			continue
		}
		l.remember(k, h)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range d.entries {
		l.set(k, e)
	}
	for k, waits := range d.removals {
		delete(l.removals, k)
		if waits {
			l.removals[k] = struct{}{}
		}
	}
	if len(d.events) == 0 {
		return
	}
	for w := range l.watchers {
		w.tell(d.events)
	}
}

// whole rounds a time down to what the file keeps, so that an entry is the same
// after a restart.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return millis(t.UnixMilli())
}

// millis is the time of Unix milliseconds, in UTC.
func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
