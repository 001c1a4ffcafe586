package store

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrFull is returned by Put when the ledger holds as many entries as it may.
var ErrFull = errors.New("the ledger is full")

// EntryKind is what an entry of the ledger does.
type EntryKind uint8

// The kinds of entry. Their order is their precedence.
const (
	OperatorBan  EntryKind = iota // refuses, whatever the allowlist says
	Allow                         // exempts
	AutomaticBan                  // refuses what the allowlist does not exempt
)

// Entry is a ban or an entry of the allowlist, of a prefix or of an account.
type Entry struct {
	Kind     EntryKind
	Prefix   netip.Prefix // masked; zero where Account is set
	Account  string       // canonical; "" where Prefix is set
	Since    time.Time    // zero in Put: now, by the store's clock
	Until    time.Time    // zero: permanent
	Reason   string       // one printable line, for people
	Rule     string       // the rule that made it, "" for an operator's
	By       string       // a host's or an operator's name
	Observed bool         // only observed: enforced by no host
	Times    int          // how often this prefix has been banned, this time included

	// Ladder, in Put of an automatic ban without Until, says how long it lasts.
	// It is not stored.
	Ladder Ladder
}

// Ladder is the length of automatic bans: First, doubled with each further ban
// of the same prefix up to Max; the number is forgotten Forget after the last
// one ended.
type Ladder struct {
	First, Max, Forget time.Duration
}

// Duration is how long a prefix's n-th ban lasts, n counted from 1.
func (l Ladder) Duration(n int) time.Duration {
	d := l.First
	for range n - 1 {
		if d >= l.Max/2 {
			return l.Max
		}
		d *= 2
	}
	return min(d, l.Max)
}

// Live tells whether the entry is in force at a time.
func (e *Entry) Live(now time.Time) bool {
	return e.Until.IsZero() || e.Until.After(now)
}

// Yields tells whether an entry leaves another of the same name as it is: what a
// program keeps on the allowlist, as the addresses of a host name, never replaces
// what an operator put there, however the two crossed.
func (e *Entry) Yields(to *Entry) bool {
	return e.Kind == Allow && to.Kind == Allow && e.Rule != "" && to.Rule == ""
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of event.
const (
	Reset   EventKind = iota // a snapshot begins: what is not repeated before Synced is gone
	Put                      // an entry is in force, or has changed
	Removed                  // an entry was removed, or its time is over
	Synced                   // the snapshot is complete
	Reached                  // nothing changes, but the ledger has come to Position
)

// Event is a change of the ledger.
type Event struct {
	Kind  EventKind
	Entry Entry // for Removed only its Kind, Prefix and Account count

	// Position is the ledger's position after the event. It never goes back from
	// one event to the next; only a snapshot, of a ledger that was lost or came
	// back older, may end at an earlier one. Reset may have the one up to which at
	// least everything is in the snapshot, Synced has the snapshot's.
	Position Position

	// At, of Removed, is when the entry was lifted. It is zero where its time was
	// over, and in a snapshot where that cannot be told.
	At time.Time

	// Ledger, in a Reset, names what keeps the ledger, "" where that cannot be
	// lost. Another name than before says that the ledger was lost, and not that
	// its entries were removed.
	Ledger string
}

// Ledger keeps bans and the allowlist, the same on every host.
type Ledger interface {
	// Put makes an entry durable, then announces it, and returns the one in
	// force: for an automatic ban of a prefix that is banned already, that one,
	// unless the new one is enforced and that one was only observed. On the
	// allowlist an entry with a Rule, which a program keeps, never replaces an
	// operator's, which it returns. Otherwise an entry of the same kind, prefix and
	// account is replaced.
	Put(ctx context.Context, e Entry) (Entry, error)
	// Remove removes the entry of exactly this kind, prefix and account, and
	// forgets how often it was banned. It tells whether there was one.
	Remove(ctx context.Context, e Entry) (bool, error)
	// PutPosition is Put, and returns a position of the ledger at which the entry
	// is in force: whoever watches and has come to it knows the entry. It is zero
	// where hosts share the ledger and this host cannot tell them yet.
	PutPosition(ctx context.Context, e Entry) (Entry, Position, error)
	// RemovePosition is Remove, and returns a position as PutPosition does, also
	// where there was no such entry.
	RemovePosition(ctx context.Context, e Entry) (bool, Position, error)
	// Watch calls f with a snapshot, from Reset to Synced, and then with every
	// change until ctx ends or f fails, whose error it returns. A watcher that
	// cannot follow gets a snapshot again.
	Watch(ctx context.Context, f func(Event) error) error
}
