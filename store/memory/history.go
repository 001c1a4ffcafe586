package memory

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

// history is how often something was banned automatically. What was only
// observed refused nobody, so that nobody has been warned by it: it makes no
// enforced ban longer.
type history struct {
	enforced, observed bans
}

// bans is a number of bans.
type bans struct {
	times  int
	forget int64 // Unix milliseconds; from then on it counts for nothing
}

// recent is what of a history still counts.
func (h history) recent(now time.Time) history {
	for _, b := range []*bans{&h.enforced, &h.observed} {
		if b.forget <= now.UnixMilli() {
			*b = bans{}
		}
	}
	return h
}

// count is how many bans count towards the length of the next one, which is
// enforced or only observed.
func (h history) count(observed bool) int {
	if observed {
		return h.enforced.times + h.observed.times
	}
	return h.enforced.times
}

// forgotten is when nothing of it counts any more, in Unix milliseconds.
func (h history) forgotten() int64 { return max(h.enforced.forget, h.observed.forget) }

// past is what still counts of the history of a key.
func (d *draft) past(k entryKey) history {
	h, ok := d.history[k]
	if !ok {
		h = d.l.history[k]
	}
	return h.recent(d.now)
}

// remember counts a ban until some time after its end. An enforced one outdates
// what was only observed.
func (d *draft) remember(k entryKey, e *store.Entry, after time.Duration) {
	h := d.past(k)
	forget := e.Until.Add(after).UnixMilli()
	if e.Observed {
		h.observed = bans{times: max(e.Times-h.enforced.times, 1), forget: forget}
	} else {
		h = history{enforced: bans{times: e.Times, forget: forget}}
	}
	if d.pastRoom(k, h) {
		d.setPast(k, h)
	}
}

// forget drops the history of a key.
func (d *draft) forget(k entryKey) { d.setPast(k, history{}) }

func (d *draft) setPast(k entryKey, h history) {
	before, ok := d.history[k]
	if !ok {
		before = d.l.history[k]
	}
	none := history{}
	switch {
	case before == none && h == none:
		return
	case before == none:
		d.pasts++
	case h == none:
		d.pasts--
	}
	d.history[k] = h
}

// pastRoom makes room for a history. There are as many as there may be
// automatic bans; of a few, the one that is forgotten soonest goes, and that may
// be the new one.
func (d *draft) pastRoom(k entryKey, h history) bool {
	l := d.l
	if _, known := l.history[k]; known || len(l.history)+d.pasts < l.limit {
		return true
	}
	victim, soonest, seen := k, h.forgotten(), 0
	for key, x := range l.history {
		if _, decided := d.history[key]; !decided && x.forgotten() < soonest {
			victim, soonest = key, x.forgotten()
		}
		if seen++; seen == evictSamples {
			break
		}
	}
	if victim == k {
		return false
	}
	d.forget(victim)
	return true
}

// remember keeps a history, or with the zero one forgets it.
func (l *ledger) remember(k entryKey, h history) {
	if h == (history{}) {
		delete(l.history, k)
		return
	}
	l.history[k] = h
	l.ends.add(ending{at: h.forgotten(), what: endOfHistory, key: k})
}

const bansBytes = 4 + 8

// encodeHistory encodes the enforced bans, and those that were only observed if
// there are any.
func encodeHistory(h history) []byte {
	b := h.enforced.append(nil)
	if h.observed != (bans{}) {
		b = h.observed.append(b)
	}
	return b
}

func (b bans) append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(b.times))
	return binary.LittleEndian.AppendUint64(to, uint64(b.forget))
}

func decodeHistory(key, value []byte) (k entryKey, h history, err error) {
	if k, err = decodeEntryKey(key); err != nil {
		return k, h, err
	}
	parts := []*bans{&h.enforced, &h.observed}
	if n := len(value) / bansBytes; len(value)%bansBytes != 0 || n < 1 || n > len(parts) {
		return k, h, fmt.Errorf("%w: a history of %d bytes", boltfile.ErrRecord, len(value))
	}
	for i := range len(value) / bansBytes {
		part := value[bansBytes*i:]
		parts[i].times = int(binary.LittleEndian.Uint32(part))
		parts[i].forget = int64(binary.LittleEndian.Uint64(part[4:]))
		// Observed bans alone leave zeros where the enforced ones are counted.
		alone := i == 0 && len(value) > bansBytes && *parts[i] == (bans{})
		if parts[i].times == 0 && !alone || parts[i].times > 1<<31 {
			return k, h, fmt.Errorf("%w: a history of %d times", boltfile.ErrRecord, parts[i].times)
		}
	}
	return k, h, nil
}
