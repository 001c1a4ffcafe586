package guard

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Event is something that the guard has decided, counted or learnt, told to
// Options.Observe afterwards. Observers cannot change it any more. They are called
// by whoever waits for the answer, so they must return at once, whatever they do
// with what they are told; the strings and the entry are theirs to keep, and not to
// change.
type Event struct {
	Kind EventKind
	At   time.Time // of the attempt; of a ban when it was made
	Host string    // this host, as in store.Entry.By

	// Of Asked and Reported. Strings are as hostile as those of an Attempt, but
	// for the account, which is bounded; see Printable.
	Face            Face
	Service         string
	Mechanism       string
	Addr            netip.Addr // unwrapped; invalid: unknown
	Client, Network netip.Prefix
	Account         string        // canonical; "": none
	Outcome         score.Outcome // Unknown for Asked
	Count           int           // attempts that it stands for; at least 1

	// Verdict is the answer that was given; of Reported what the next attempt like
	// it would meet, with the standing after it was counted.
	Verdict Verdict
	// Met, of Reported, is the rule that refused the attempt when it was asked
	// about, or would have; RuleNone where none did or that is not known any more.
	Met Rule

	// Entry, of Banned, Changed and Removed, is what the ledger holds or held.
	Entry *store.Entry
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of event.
const (
	Asked    EventKind = iota // a question was answered, and not with pass: that is what happens all day
	Reported                  // an attempt's outcome was counted, or need not be
	Banned                    // this host has made an automatic ban, perhaps only observed
	Braked                    // automatic bans pause from now on
	Changed                   // any host or operator has made or changed an entry of the ledger
	Removed                   // one was removed, or its time is over; of the entry only kind, prefix and account count
)

// String returns the kind's name.
func (k EventKind) String() string {
	return [...]string{"asked", "reported", "banned", "braked", "changed", "removed"}[k]
}

// attemptEvent is the event of an attempt.
func (g *Guard) attemptEvent(k EventKind, a *Attempt, who *identity, v *Verdict) Event {
	return Event{
		Kind: k, At: who.at, Host: g.host, Face: a.Face, Service: a.Service, Mechanism: a.Mechanism,
		Addr: who.addr, Client: who.client, Network: who.network, Account: who.account,
		Outcome: a.Outcome, Count: max(a.Count, 1), Verdict: *v,
	}
}

// observeReport tells of an attempt that was reported.
func (g *Guard) observeReport(a *Attempt, who *identity, v *Verdict) {
	if g.observe == nil || a.Outcome == score.Unknown {
		return
	}
	e := g.attemptEvent(Reported, a, who, v)
	e.Met, _ = g.recent.find(g.key(who), g.now())
	g.observe(e)
}

// observeLedger tells of a change of the ledger. A snapshot changes nothing: what
// is in it was news before, perhaps to a process that has ended since.
func (g *Guard) observeLedger(e store.Event, live bool) {
	if g.observe == nil || !live {
		return
	}
	kind := Changed
	if e.Kind == store.Removed {
		kind = Removed
	}
	g.observe(Event{Kind: kind, At: g.now(), Host: g.host, Entry: &e.Entry})
}
