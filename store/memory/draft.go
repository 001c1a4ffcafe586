package memory

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

// draft is a batch of changes to the ledger that is decided and not written yet.
type draft struct {
	l       *ledger
	now     time.Time
	events  []store.Event
	entries map[entryKey]*kept   // nil: removed
	history map[entryKey]history // zero: forgotten
	growth  [store.AutomaticBan + 1]int
	pasts   int // by how many the histories become more

	lifts    map[entryKey]lift
	position store.Position // of the ledger after the draft
}

func (l *ledger) newDraft() *draft {
	return &draft{
		l: l, now: millis(l.store.nowMillis()), position: l.position,
		entries: make(map[entryKey]*kept), history: make(map[entryKey]history), lifts: make(map[entryKey]lift),
	}
}

// entry returns what is kept under a key, in force or not.
func (d *draft) entry(k entryKey) *kept {
	if e, ok := d.entries[k]; ok {
		return e
	}
	return d.l.entries[k]
}

// full tells whether there is no room for one more entry of a kind. Operators
// may use all room there is; an attacker who earns bans leaves them the reserve.
func (d *draft) full(kind store.EntryKind) bool {
	have := func(k store.EntryKind) int { return d.l.counts[k] + d.growth[k] }
	automatic := have(store.AutomaticBan) - d.l.over
	return automatic+have(store.OperatorBan)+have(store.Allow) >= d.l.limit+d.l.reserve ||
		kind == store.AutomaticBan && automatic >= d.l.limit
}

func (d *draft) put(e store.Entry) answer {
	k := keyOf(&e)
	if e.Since.IsZero() {
		e.Since = d.now
	}
	e.Since = d.after(k, e.Since)
	before := d.entry(k)
	if e.Kind == store.AutomaticBan {
		old := live(before, d.now)
		if old != nil && (!old.Observed || e.Observed) {
			return answer{entry: old.Entry, found: true}
		}
		// One that was only observed until now refuses for the first time, too.
		e.Times = d.past(k).count(e.Observed) + 1
		if e.Until.IsZero() && e.Ladder.First > 0 {
			e.Until = d.now.Add(e.Ladder.Duration(e.Times))
		}
	}
	if old := live(before, d.now); old != nil && e.Yields(&old.Entry) {
		return answer{entry: old.Entry, found: true}
	}
	if !e.Until.IsZero() && !e.Until.After(d.now) {
		return answer{err: fmt.Errorf("%w: it was over at %s", store.ErrInvalid, e.Until)}
	}
	if (before == nil || before.over) && d.full(e.Kind) {
		return answer{err: store.ErrFull}
	}
	if before == nil {
		d.growth[e.Kind]++
	}
	e.Since, e.Until = whole(e.Since), whole(e.Until)
	if e.Kind == store.AutomaticBan && !e.Until.IsZero() && e.Ladder.Forget > 0 {
		d.remember(k, &e, e.Ladder.Forget)
	}
	e.Ladder = store.Ladder{}
	d.keep(k, &kept{Entry: e})
	return answer{entry: e, found: true}
}

// keep puts an entry.
func (d *draft) keep(k entryKey, e *kept) {
	d.entries[k] = e
	d.events = append(d.events, store.Event{Kind: store.Put, Entry: e.Entry, Position: d.position})
}

func (d *draft) remove(e *store.Entry, pending bool) answer {
	k := keyOf(e)
	old, at := d.entry(k), d.now
	if old != nil && old.Since.After(at) {
		at = old.Since // made by a clock ahead of this one
	}
	if !d.lifted(k, at, pending) {
		return answer{err: store.ErrFull}
	}
	d.forget(k)
	if old == nil {
		return answer{}
	}
	d.drop(k)
	d.events[len(d.events)-1].At = at
	return answer{found: old.Live(d.now)}
}

// drop removes an entry that there is.
func (d *draft) drop(k entryKey) {
	d.growth[k.kind]--
	d.entries[k] = nil
	d.events = append(d.events, store.Event{Kind: store.Removed, Entry: k.entry(), Position: d.position})
}

// save writes the draft in one transaction.
func (d *draft) save() error {
	d.number()
	f := d.l.store.file
	if f == nil || d.empty() {
		return nil
	}
	err := f.Update(func(tx *bbolt.Tx) error {
		entries, past := tx.Bucket([]byte(nameLedger)), tx.Bucket([]byte(nameHistory))
		for k, e := range d.entries {
			key := k.bytes()
			if err := putOrDelete(entries, key, e != nil, func() []byte { return e.encode() }); err != nil {
				return err
			}
		}
		for k, h := range d.history {
			key := k.bytes()
			if err := putOrDelete(past, key, h != (history{}), func() []byte { return encodeHistory(h) }); err != nil {
				return err
			}
		}
		if d.position != d.l.saved {
			if err := d.l.putPosition(tx, d.position); err != nil {
				return err
			}
		}
		return d.saveLifts(tx)
	})
	if err == nil {
		d.l.saved = d.position
	}
	return err
}

// empty tells whether there is nothing to write.
func (d *draft) empty() bool { return len(d.entries)+len(d.history)+len(d.lifts) == 0 }

func putOrDelete(b *bbolt.Bucket, key []byte, put bool, value func() []byte) error {
	if !put {
		return b.Delete(key)
	}
	return b.Put(key, boltfile.Seal(key, value()))
}

// apply makes the draft visible and tells the watchers.
func (d *draft) apply() {
	l := d.l
	for k, h := range d.history {
		l.remember(k, h)
	}
	d.publish()
	l.trimEndings()
}

// publish changes the entries and tells the watchers.
func (d *draft) publish() {
	l := d.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range d.entries {
		l.set(k, e)
	}
	l.publishLifts(d.lifts)
	if n := len(d.events); d.position != l.position && (n == 0 || d.events[n-1].Position != d.position) {
		d.events = append(d.events, store.Event{Kind: store.Reached, Position: d.position})
	}
	back := d.position.Compare(l.position) < 0
	l.position = d.position
	if len(d.events) == 0 {
		return
	}
	for w := range l.watchers {
		w.tell(d.events, back)
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
