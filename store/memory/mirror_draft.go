package memory

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
)

// mirrorMemory is how long the number of a mirrored ban counts after its end:
// an entry does not carry the ladder that it was made by.
const mirrorMemory = 60 * 24 * time.Hour

// mirrorBatch is how many entries a snapshot's end removes in one transaction.
const mirrorBatch = 2000

// nearEnd is how much earlier than here an entry may end by another host's
// clock. What is removed sooner before its end was removed by somebody.
const nearEnd = 10 * time.Second

// mirror carries out a request. The shared ledger is durable, so that nothing
// is undone for a disk that fails.
func (l *ledger) mirror(r *mirrorRequest) error {
	d := l.newDraft()
	var skipped error
	note := func(err error) {
		if skipped == nil {
			skipped = err
		}
	}
	for i := range r.events {
		e := &r.events[i]
		// A snapshot has come to where it begins only at its end.
		if r.kind == mirrorFollow && e.Kind != store.Reset && e.Kind != store.Synced {
			d.reached(e.Position)
		}
		switch {
		case r.kind == mirrorShared:
			d.handedOver(e)
		case r.kind == mirrorAdopt:
			r.found = live(d.entry(keyOf(&e.Entry)), d.now) != nil
			note(d.adopt(e))
		case e.Kind == store.Reset:
			note(d.flush())
			note(l.named(e.Ledger))
			d = l.newDraft()
			l.seen, l.scanned = make(map[entryKey]struct{}), e.Position
		case e.Kind == store.Put:
			note(d.mirrorPut(e.Entry, r.kind))
		case e.Kind == store.Removed:
			d.mirrorRemoved(&e.Entry, e.At)
		case e.Kind == store.Synced && l.seen != nil:
			note(d.flush())
			note(l.removeUnseen())
			l.placed()
			d = l.newDraft()
			d.reached(e.Position)
		}
	}
	note(d.flush())
	r.lifted, l.unbanned = l.unbanned, nil
	return skipped
}

// named takes note of which ledger is mirrored. If it is another one than
// before, that one was lost with all that it held: what it had told of waits to
// be handed over to the new one. The name is written last, so that a host that
// dies in between does it again.
func (l *ledger) named(name string) error {
	if name == "" || name == l.mirrored {
		return nil
	}
	var failed error
	if l.mirrored != "" {
		failed = l.unshare()
	}
	l.mu.Lock()
	l.mirrored = name
	l.mu.Unlock()
	if file := l.store.file; file != nil && failed == nil {
		failed = file.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(nameMeta)).Put([]byte(metaMirrored), []byte(name))
		})
	}
	return failed
}

// unshare has every entry and every removal wait to be handed over. What was
// decided when tells the shared ledger which of them hold.
func (l *ledger) unshare() error {
	var failed error
	d, n := l.newDraft(), 0
	flush := func() {
		if err := d.flush(); err != nil {
			failed = err
		}
		d = l.newDraft()
	}
	for k, e := range l.entries {
		if !e.shared {
			continue
		}
		d.entries[k] = &kept{Entry: e.Entry}
		if n++; n%mirrorBatch == 0 {
			flush()
		}
	}
	flush()
	for k, at := range l.lifted {
		d.lifts[k] = lift{at: at, waits: true}
		if n++; n%mirrorBatch == 0 {
			flush()
		}
	}
	flush()
	return failed
}

// flush writes a draft and makes it visible, written or not.
func (d *draft) flush() error {
	if d.empty() && d.position == d.l.position {
		return nil
	}
	err := d.save()
	d.apply()
	return err
}

// removeUnseen ends a snapshot.
func (l *ledger) removeUnseen() error {
	var failed error
	d := l.newDraft()
	gone := make([]entryKey, 0)
	for k, e := range l.entries {
		if _, there := l.seen[k]; !there && e.shared {
			gone = append(gone, k)
		}
	}
	l.seen = nil
	// In the file's order a transaction changes few of its pages.
	slices.SortFunc(gone, func(a, b entryKey) int { return bytes.Compare(a.bytes(), b.bytes()) })
	for i, k := range gone {
		// Nobody says whether it was lifted or has ended by a clock that is ahead
		// of this one; and when, only that it was after it was made.
		at := time.Time{}
		if e := l.entries[k]; e.Live(d.now.Add(nearEnd)) {
			at = e.Since
		}
		e := k.entry()
		d.mirrorRemoved(&e, at)
		if i%mirrorBatch == mirrorBatch-1 || i == len(gone)-1 {
			if err := d.flush(); err != nil {
				failed = err
			}
			d = l.newDraft()
		}
	}
	return failed
}

// outdated tells whether a mirrored entry is older than what is known here and
// is to be handed over: a removal, or an entry of the same name.
func (d *draft) outdated(k entryKey, e *store.Entry) bool {
	if at, waits := d.lift(k); waits && !e.Since.After(millis(at)) {
		return true
	}
	before := d.entry(k)
	return live(before, d.now) != nil && !before.shared && before.Entry != *e
}

func (d *draft) mirrorPut(e store.Entry, kind mirrorKind) error {
	if err := e.Check(); err != nil {
		return fmt.Errorf("mirroring: %w", err)
	}
	k := keyOf(&e)
	e.Since, e.Until, e.Ladder = whole(e.Since), whole(e.Until), store.Ladder{}
	if d.l.seen != nil {
		d.l.seen[k] = struct{}{}
	}
	before := d.entry(k)
	if kind == mirrorFollow && d.outdated(k, &e) {
		return nil
	}
	switch {
	case before != nil && before.Entry == e && before.shared:
		return nil
	case !e.Live(d.now):
		return nil
	case before == nil && d.full(e.Kind):
		return fmt.Errorf("mirroring %s%s: %w", prefixText(&e), e.Account, store.ErrFull)
	case before == nil:
		d.growth[e.Kind]++
	}
	if e.Kind == store.AutomaticBan && e.Times > 0 && !e.Until.IsZero() {
		d.remember(k, &e, mirrorMemory)
	}
	d.unlift(k, e.Since) // it was decided that it holds
	d.keep(k, &kept{Entry: e, shared: true})
	return nil
}

func prefixText(e *store.Entry) string {
	if !e.Prefix.IsValid() {
		return ""
	}
	return e.Prefix.String()
}

// adopt takes over what the shared ledger has answered, unless its events have
// told that already, and perhaps what came after.
func (d *draft) adopt(e *store.Event) error {
	told := d.l.position
	if d.l.seen != nil {
		told = d.l.scanned
	}
	k := keyOf(&e.Entry)
	before := d.entry(k)
	_, waits := d.lift(k)
	mine := waits || before != nil && !before.shared // which no event tells of
	if !mine && !e.Position.IsZero() && e.Position.Compare(told) <= 0 {
		return nil
	}
	if e.Kind == store.Put {
		return d.mirrorPut(e.Entry, mirrorAdopt)
	}
	d.mirrorRemoved(&e.Entry, e.At)
	return nil
}

// mirrorRemoved takes over that an entry was lifted at a time, or with the zero
// one that it has ended.
func (d *draft) mirrorRemoved(e *store.Entry, at time.Time) {
	k := keyOf(e)
	if d.l.seen != nil {
		delete(d.l.seen, k)
	}
	if !at.IsZero() {
		d.lifted(k, at, false)
	}
	old := d.entry(k)
	switch {
	case old == nil:
		return
	case !old.shared && (at.IsZero() || old.Since.After(at)):
		return // it waits to be handed over, and was made since then
	case !at.IsZero():
		d.forget(k) // an unban forgets how often it was
		if e.Kind == store.AutomaticBan && e.Prefix.IsValid() {
			d.l.unbanned = append(d.l.unbanned, e.Prefix)
		}
	}
	d.drop(k)
	d.events[len(d.events)-1].At = at
}

// handedOver notes that the shared ledger has an entry, or has removed it.
func (d *draft) handedOver(e *store.Event) {
	k := keyOf(&e.Entry)
	if e.Kind == store.Removed {
		if at, waits := d.lift(k); waits && at == e.At.UnixMilli() {
			d.lifts[k] = lift{at: at}
		}
		return
	}
	old := d.entry(k)
	switch {
	case old == nil || old.shared || old.Entry != e.Entry:
	case old.Live(d.now):
		if d.l.seen != nil {
			d.l.seen[k] = struct{}{} // a snapshot under way may have been taken before
		}
		d.entries[k] = &kept{Entry: old.Entry, shared: true}
	case old.over: // which was announced when it ended
		d.growth[k.kind]--
		d.entries[k] = nil
	default:
		d.drop(k)
	}
}
