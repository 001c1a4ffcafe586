package memory

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// A store may be one host's copy of a ledger that several hosts share. The
// shared one decides; Mirror brings its entries here as they are. What was put
// here without it (while it could not be reached, or before the host joined)
// waits in the file to be handed over, and until then no mirrored event
// touches it.

// kept is an entry as the ledger keeps it.
type kept struct {
	store.Entry
	shared bool // the remote ledger has it
	over   bool // it has ended, and is here for the remote ledger to count
}

func (e *kept) encode() []byte {
	b := encodeEntry(&e.Entry)
	if e.shared {
		b[1] |= entryShared
	}
	return b
}

// mirrorRequest asks the ledger's goroutine to take over events.
type mirrorRequest struct {
	kind   mirrorKind
	events []store.Event
	lifted []netip.Prefix // unbanned by them; good after the reply, as is
	found  bool           // whether the adopted entry was in force
	reply  chan error
}

type mirrorKind uint8

const (
	mirrorFollow mirrorKind = iota // what waits to be handed over is left alone
	mirrorAdopt                    // it is replaced too: this was decided after it
	mirrorShared                   // these were handed over
)

// Mirror takes over events of the ledger that this one is a copy of, in one
// transaction: entries as they are, without a ladder. Between Reset and Synced
// they are a snapshot, and at its end entries are removed that it does not have,
// unless they wait to be handed over. The events of a snapshot may come in
// several calls.
//
// The entries are durable elsewhere: where the file cannot be written they are
// in force nevertheless, and the error is returned. Entries beyond the limit are
// left out, and the error wraps store.ErrFull. After ctx's error they may be
// taken over yet.
func (s *Store) Mirror(ctx context.Context, events []store.Event) error {
	return s.mirror(ctx, mirrorFollow, events)
}

// Adopt is Mirror for what the shared ledger has just answered, ahead of the
// events that tell of it: that an entry is in force, or was removed. It holds also
// where another one waits to be handed over. Where the events have come to its
// Position already they decide, since they may tell of later changes. It tells
// whether there was a live entry before.
func (s *Store) Adopt(ctx context.Context, e store.Event) (found bool, err error) {
	r := &mirrorRequest{kind: mirrorAdopt, events: []store.Event{e}}
	err = s.mirrorNow(ctx, r)
	return r.found, err
}

// RemovePending is Remove, and notes durably that the shared ledger is to be
// told.
func (s *Store) RemovePending(ctx context.Context, e store.Entry) (bool, error) {
	if err := e.CheckName(); err != nil {
		return false, err
	}
	a := s.ledger.ask(ctx, &request{remove: true, pending: true, entry: e})
	return a.found, a.err
}

// Pending returns up to a number of entries and removals that the shared ledger
// has not been told of, as events: bans that are over are among them, since they
// count towards the length of the next.
func (s *Store) Pending(limit int) []store.Event {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	events := make([]store.Event, 0, min(limit, len(l.waiting)+l.unshared))
	for k, at := range l.waiting {
		if len(events) == limit {
			return events
		}
		events = append(events, store.Event{Kind: store.Removed, Entry: k.entry(), At: millis(at)})
	}
	if l.unshared == 0 {
		return events
	}
	for _, e := range l.entries {
		if len(events) == limit {
			break
		}
		if !e.shared {
			events = append(events, store.Event{Kind: store.Put, Entry: e.Entry})
		}
	}
	return events
}

// Followed is which ledger was mirrored last, and up to which position; none if
// its first snapshot was not complete.
func (s *Store) Followed() (ledger string, at store.Position) {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mirrored == "" || l.placedIn != l.mirrored {
		return "", store.Position{}
	}
	return l.mirrored, l.position
}

// HandedOver tells that the shared ledger has been told of what Pending
// returned. What has changed since then still waits.
func (s *Store) HandedOver(ctx context.Context, events []store.Event) error {
	return s.mirror(ctx, mirrorShared, events)
}

func (s *Store) mirror(ctx context.Context, kind mirrorKind, events []store.Event) error {
	// The caller may use its slice again when ctx ends before the disk answers.
	return s.mirrorNow(ctx, &mirrorRequest{kind: kind, events: slices.Clone(events)})
}

func (s *Store) mirrorNow(ctx context.Context, r *mirrorRequest) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	r.reply = make(chan error, 1)
	select {
	case s.ledger.mirrors <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return store.ErrClosed
	}
	var err error
	select {
	case err = <-r.reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.kind != mirrorShared {
		s.freeRings(r.events)
	}
	// An unban forgets the score too: this host must not ban again, by what it
	// counted itself, whom an operator has let off.
	for _, p := range r.lifted {
		if ferr := s.ForgetClient(ctx, p); ferr != nil {
			return errors.Join(err, ferr)
		}
	}
	return err
}

// freeRings frees the rings of clients that are banned: they have done their
// work.
func (s *Store) freeRings(events []store.Event) {
	now, rules := s.nowMillis(), s.lastRules()
	for i := range events {
		e := &events[i].Entry
		if events[i].Kind == store.Put && e.Kind == store.AutomaticBan && !e.Observed && e.Prefix.IsValid() {
			key := s.hasher.Prefix('c', e.Prefix)
			s.shards[shardOf(key)].freeRing(key, score.Client, now, rules)
		}
	}
}
