package memory

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

// A copy of a shared ledger remembers what was lifted, and when: to tell the
// shared ledger, if that could not be reached, and to tell it again if it is lost
// or comes back older. Whoever still has the entry cannot bring it back then.

// liftedFor is how long that is remembered, as store/redis does.
const liftedFor = 60 * 24 * time.Hour

// lift is the removal of an entry.
type lift struct {
	at    int64 // Unix milliseconds
	waits bool  // the shared ledger is to be told
	gone  bool  // it is forgotten
}

// lift is when a key was lifted, and whether the shared ledger is to be told; 0
// if it was not.
func (d *draft) lift(k entryKey) (at int64, waits bool) {
	if x, decided := d.lifts[k]; decided {
		if x.gone {
			return 0, false
		}
		return x.at, x.waits
	}
	if at, waits = d.l.waiting[k]; waits {
		return at, true
	}
	return d.l.lifted[k], false
}

// lifted notes that a key was lifted. It tells whether there was room for that:
// what is to be handed over must not be forgotten for something else.
func (d *draft) lifted(k entryKey, when time.Time, waits bool) bool {
	if !d.l.store.options.Shared {
		return true
	}
	at, waited := d.lift(k)
	x := lift{at: max(at, when.UnixMilli()), waits: waits || waited}
	if at == 0 && !d.liftRoom(waits) {
		return false
	}
	d.lifts[k] = x
	return true
}

// liftRoom makes room for one more: of a few that nobody waits for, the oldest
// goes.
func (d *draft) liftRoom(waits bool) bool {
	l := d.l
	limit := l.limit + l.reserve
	if len(l.waiting)+len(l.lifted)+len(d.lifts) < limit {
		return true
	}
	var victim entryKey
	oldest, seen := int64(0), 0
	for k, at := range l.lifted {
		if _, decided := d.lifts[k]; !decided && (oldest == 0 || at < oldest) {
			victim, oldest = k, at
		}
		if seen++; seen == evictSamples {
			break
		}
	}
	if oldest == 0 {
		return !waits && len(d.lifts) < requestBatch
	}
	d.lifts[victim] = lift{gone: true}
	return true
}

// unlift forgets a removal that would have lifted what was made at a time.
func (d *draft) unlift(k entryKey, since time.Time) {
	if at, _ := d.lift(k); at != 0 && !since.After(millis(at)) {
		d.lifts[k] = lift{gone: true}
	}
}

// after is the time of an entry that is put now: whoever puts has the last word,
// and what was lifted up to now is in force from then on.
func (d *draft) after(k entryKey, since time.Time) time.Time {
	if at, _ := d.lift(k); at != 0 && !since.After(millis(at)) {
		return millis(at + 1)
	}
	return since
}

// publishLifts changes what is remembered. Whoever calls holds mu.
func (l *ledger) publishLifts(lifts map[entryKey]lift) {
	for k, x := range lifts {
		l.setLift(k, x)
	}
}

func (l *ledger) setLift(k entryKey, x lift) {
	delete(l.waiting, k)
	delete(l.lifted, k)
	switch {
	case x.gone:
		return
	case x.waits:
		l.waiting[k] = x.at
	default:
		l.lifted[k] = x.at
	}
	l.ends.add(ending{at: x.at + liftedFor.Milliseconds(), what: endOfLift, key: k})
}

// forgetLift forgets a removal that is old enough. One that waits stays.
func (d *draft) forgetLift(k entryKey) {
	if at, waits := d.lift(k); at != 0 && !waits && at+liftedFor.Milliseconds() <= d.now.UnixMilli() {
		d.lifts[k] = lift{gone: true}
	}
}

func (d *draft) saveLifts(tx *bbolt.Tx) error {
	if len(d.lifts) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(nameRemovals))
	if err != nil {
		return err
	}
	for k, x := range d.lifts {
		if err := putOrDelete(b, k.bytes(), !x.gone, func() []byte { return encodeLift(x) }); err != nil {
			return err
		}
	}
	return nil
}

const liftBytes = 8 + 1

func encodeLift(x lift) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(x.at))
	if x.waits {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeLift(key, value []byte) (k entryKey, x lift, err error) {
	if k, err = decodeEntryKey(key); err != nil {
		return k, x, err
	}
	if len(value) != liftBytes || value[8] > 1 {
		return k, x, fmt.Errorf("%w: a removal of %d bytes", boltfile.ErrRecord, len(value))
	}
	x = lift{at: int64(binary.LittleEndian.Uint64(value)), waits: value[8] == 1}
	if x.at <= 0 || x.at > maxTime {
		return k, x, fmt.Errorf("%w: a removal at %d", boltfile.ErrRecord, x.at)
	}
	return k, x, nil
}

// keepOver keeps a ban that has ended for the shared ledger, which has not heard
// of it: it makes the next one longer. It tells whether it does.
func (d *draft) keepOver(k entryKey, e *kept) bool {
	if !d.l.store.options.Shared || e.shared || k.kind != store.AutomaticBan || e.Times == 0 || d.l.over >= d.l.limit {
		return false
	}
	d.entries[k] = &kept{Entry: e.Entry, over: true}
	d.events = append(d.events, store.Event{Kind: store.Removed, Entry: k.entry(), Position: d.position})
	return true
}
