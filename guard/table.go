package guard

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/saslguard/saslguard/store"
)

// table is the ledger as this host knows it: every ban and every entry of the
// allowlist in memory, so that a banned or allowed client costs no round trip.
// Readers never wait. What the ledger's watch tells is the only way in.
type table struct {
	now      atomic.Pointer[ledger]
	position atomic.Pointer[store.Position] // of the ledger in now

	mu       sync.Mutex // held by the one who changes the ledger
	building *ledger    // a snapshot that is not complete yet
	synced   chan struct{}
	once     sync.Once
}

// ledger is one immutable state of the table. The prefix tables are indexed by
// store.EntryKind.
type ledger struct {
	prefixes [3]*bart.Table[*store.Entry]
	accounts map[accountKey]*store.Entry
}

type accountKey struct {
	kind    store.EntryKind
	account string
}

func newTable() *table {
	t := &table{synced: make(chan struct{})}
	t.now.Store(newLedger())
	return t
}

func newLedger() *ledger {
	l := &ledger{accounts: map[accountKey]*store.Entry{}}
	for i := range l.prefixes {
		l.prefixes[i] = new(bart.Table[*store.Entry])
	}
	return l
}

// apply takes over one event of the ledger, and tells whether it is a change and no
// part of a snapshot.
func (t *table) apply(e store.Event) (live bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.reached(e)
	switch {
	case e.Kind == store.Reset:
		t.building = newLedger()
	case e.Kind == store.Synced && t.building != nil:
		t.now.Store(t.building)
		t.building = nil
		t.once.Do(func() { close(t.synced) })
	case t.building != nil:
		t.building.change(e)
	default:
		t.now.Store(t.now.Load().changed(e))
		return e.Kind == store.Put || e.Kind == store.Removed
	}
	return false
}

// reached takes note of how far the ledger has come. Within a snapshot that is
// not known before its end.
func (t *table) reached(e store.Event) {
	if t.building == nil && !e.Position.IsZero() {
		t.position.Store(&e.Position)
	}
}

// change applies an event to a ledger that nobody reads yet.
func (l *ledger) change(e store.Event) {
	entry := e.Entry
	switch {
	case int(entry.Kind) >= len(l.prefixes):
	case entry.Account != "":
		setAccount(l.accounts, e)
	case e.Kind == store.Put:
		l.prefixes[entry.Kind].Insert(entry.Prefix, &entry)
	case e.Kind == store.Removed:
		l.prefixes[entry.Kind].Delete(entry.Prefix)
	}
}

// changed returns a copy of the ledger with an event applied. It shares with
// the old one all that did not change.
func (l *ledger) changed(e store.Event) *ledger {
	next, entry := *l, e.Entry
	switch {
	case int(entry.Kind) >= len(l.prefixes):
	case entry.Account != "":
		next.accounts = make(map[accountKey]*store.Entry, len(l.accounts)+1)
		for k, v := range l.accounts {
			next.accounts[k] = v
		}
		setAccount(next.accounts, e)
	case e.Kind == store.Put:
		next.prefixes[entry.Kind] = l.prefixes[entry.Kind].InsertPersist(entry.Prefix, &entry)
	case e.Kind == store.Removed:
		next.prefixes[entry.Kind] = l.prefixes[entry.Kind].DeletePersist(entry.Prefix)
	}
	return &next
}

func setAccount(m map[accountKey]*store.Entry, e store.Event) {
	key := accountKey{e.Entry.Kind, e.Entry.Account}
	if e.Kind == store.Removed {
		delete(m, key)
		return
	}
	entry := e.Entry
	m[key] = &entry
}

// prefix returns the entry of a kind that covers an address and counts at a
// time, or nil. The longest match may have expired, or be one that was only
// observed, inside a wider one that is in force.
func (l *ledger) prefix(kind store.EntryKind, a netip.Addr, now time.Time, observed bool) *store.Entry {
	t := l.prefixes[kind]
	if t.Size() == 0 {
		return nil
	}
	e, ok := t.Lookup(a)
	if !ok {
		return nil
	}
	if e.Live(now) && (observed || !e.Observed) {
		return e
	}
	for _, e := range t.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		if e.Live(now) && (observed || !e.Observed) {
			return e
		}
	}
	return nil
}

// exact returns the live entry of exactly a prefix, or nil.
func (l *ledger) exact(kind store.EntryKind, p netip.Prefix, now time.Time) *store.Entry {
	if e, ok := l.prefixes[kind].Get(p); ok && e.Live(now) {
		return e
	}
	return nil
}

// account returns the live entry of a kind for an account, or nil.
func (l *ledger) account(kind store.EntryKind, account string, now time.Time) *store.Entry {
	if e := l.accounts[accountKey{kind, account}]; e != nil && e.Live(now) {
		return e
	}
	return nil
}
