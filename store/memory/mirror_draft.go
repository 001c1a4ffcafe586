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
		if r.kind == mirrorFollow && e.Kind != store.Synced {
			d.reached(e.Position)
		}
		switch {
		case r.kind == mirrorShared:
			d.handedOver(e)
		case e.Kind == store.Reset:
			note(d.flush())
			note(l.named(e.Ledger))
			d = l.newDraft()
			l.seen = make(map[entryKey]struct{})
		case e.Kind == store.Put:
			note(d.mirrorPut(e.Entry, r.kind))
		case e.Kind == store.Removed:
			d.mirrorRemoved(&e.Entry)
		case e.Kind == store.Synced && l.seen != nil:
			note(d.flush())
			note(l.removeUnseen())
			d = l.newDraft()
			d.reached(e.Position)
		}
	}
	note(d.flush())
	r.lifted, l.lifted = l.lifted, nil
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
	l.mirrored = name
	if file := l.store.file; file != nil && failed == nil {
		failed = file.update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(nameMeta)).Put([]byte(metaMirrored), []byte(name))
		})
	}
	return failed
}

// unshare has every entry wait to be handed over.
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
		e := k.entry()
		d.mirrorRemoved(&e)
		if i%mirrorBatch == mirrorBatch-1 || i == len(gone)-1 {
			if err := d.flush(); err != nil {
				failed = err
			}
			d = l.newDraft()
		}
	}
	return failed
}

// waits tells whether what is known here of a key is to be handed over.
func (d *draft) waits(k entryKey) bool {
	waits, decided := d.removals[k]
	if !decided {
		_, waits = d.l.removals[k]
	}
	e := d.entry(k)
	return waits || live(e, d.now) != nil && !e.shared
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
	if kind == mirrorFollow && d.waits(k) && (before == nil || before.Entry != e) {
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
	d.keep(k, &kept{Entry: e, shared: true})
	return nil
}

func prefixText(e *store.Entry) string {
	if !e.Prefix.IsValid() {
		return ""
	}
	return e.Prefix.String()
}

func (d *draft) mirrorRemoved(e *store.Entry) {
	k := keyOf(e)
	if d.l.seen != nil {
		delete(d.l.seen, k)
	}
	old := d.entry(k)
	if old == nil || d.waits(k) {
		return
	}
	if old.Live(d.now.Add(nearEnd)) {
		d.forget(k) // an unban forgets how often it was
		if e.Kind == store.AutomaticBan && e.Prefix.IsValid() {
			d.l.lifted = append(d.l.lifted, e.Prefix)
		}
	}
	d.drop(k)
}

// handedOver notes that the shared ledger has an entry, or has removed it.
func (d *draft) handedOver(e *store.Event) {
	k := keyOf(&e.Entry)
	if e.Kind == store.Removed {
		d.markRemoval(k, false)
		return
	}
	if old := d.entry(k); old != nil && !old.shared && old.Entry == e.Entry {
		d.entries[k] = &kept{Entry: old.Entry, shared: true}
	}
}

// markRemoval notes whether a removal is to be handed over. It tells whether
// there was room for that.
func (d *draft) markRemoval(k entryKey, waits bool) bool {
	_, marked := d.l.removals[k]
	if waits && !marked && len(d.l.removals)+len(d.removals) >= d.l.limit+d.l.reserve {
		return false
	}
	if _, decided := d.removals[k]; decided || marked != waits {
		d.removals[k] = waits
	}
	return true
}

func (d *draft) saveRemovals(tx *bbolt.Tx) error {
	if len(d.removals) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(nameRemovals))
	if err != nil {
		return err
	}
	for k, waits := range d.removals {
		if err := putOrDelete(b, k.bytes(), waits, func() []byte { return nil }); err != nil {
			return err
		}
	}
	return nil
}
