package memory

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store"
)

// A ledger of its own numbers its changes as Redis numbers those of a stream. A
// copy has the positions of what it is a copy of: entries that were put here
// while that could not be reached move it not.

// begin sets the position of a ledger that was just opened.
func (l *ledger) begin() {
	if !l.store.options.Shared {
		l.position = l.position.Next(l.store.nowMillis())
	}
}

// number gives the draft's events their positions, and the draft the last.
func (d *draft) number() {
	if d.l.store.options.Shared {
		return
	}
	for i := range d.events {
		d.position = d.position.Next(d.now.UnixMilli())
		d.events[i].Position = d.position
	}
}

// reached takes note of the position of a mirrored event.
func (d *draft) reached(p store.Position) {
	switch {
	case !d.l.store.options.Shared || p.IsZero():
	case d.l.seen != nil:
		d.l.scanned = p
	default:
		d.position = p
	}
}

// placed notes that positions are of the ledger that is mirrored now.
func (l *ledger) placed() {
	if l.placedIn == l.mirrored {
		return
	}
	l.mu.Lock()
	l.placedIn = l.mirrored
	l.mu.Unlock()
	l.saved = store.Position{} // the file has that of another
}

// savePosition writes a position that was reached without a change.
func (l *ledger) savePosition() {
	if l.store.file == nil || !l.store.options.Shared || l.saved == l.position {
		return
	}
	p := l.position
	if l.store.file.Update(func(tx *bbolt.Tx) error { return l.putPosition(tx, p) }) == nil {
		l.saved = p
	}
}

// putPosition writes a position: that of a ledger of its own apart from that of
// one that is mirrored, which is followed by the ledger's name.
func (l *ledger) putPosition(tx *bbolt.Tx, p store.Position) error {
	b := binary.BigEndian.AppendUint64(nil, p.Millis)
	b = binary.BigEndian.AppendUint64(b, p.Number)
	if l.store.options.Shared {
		b = append(b, l.placedIn...)
	}
	return tx.Bucket([]byte(nameMeta)).Put([]byte(l.positionKey()), b)
}

func (l *ledger) loadPosition(tx *bbolt.Tx) {
	b := tx.Bucket([]byte(nameMeta)).Get([]byte(l.positionKey()))
	if len(b) < 16 {
		return
	}
	l.position = store.Position{Millis: binary.BigEndian.Uint64(b), Number: binary.BigEndian.Uint64(b[8:])}
	l.saved = l.position
	if l.placedIn = string(b[16:]); l.placedIn == "" {
		l.placedIn = l.mirrored // written before names were
	}
}

func (l *ledger) positionKey() string {
	if l.store.options.Shared {
		return metaMirroredAt
	}
	return metaPosition
}
