package guard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Insight is what is known of a client, an account, or both, and what the next
// attempt would meet.
type Insight struct {
	Addr            netip.Addr // unwrapped; invalid: not asked about
	Client, Network netip.Prefix
	Account         string // canonical; "": not asked about

	Standing store.Standing
	Verdict  Verdict // of Action only Would is set
	// AllowedClient and AllowedAccount tell whether the allowlist exempts them, by
	// an entry or by the configuration.
	AllowedClient, AllowedAccount bool
	// Entries are all bans and entries of the allowlist that cover them and are in
	// force, observed ones included, by precedence, the most specific first.
	Entries []store.Entry
}

// Look tells what is known of a client and an account; one of them may be
// missing. It takes no place, counts nothing and tells no observer. Its error is
// the store's; what bans and the allowlist say is returned in any case.
func (g *Guard) Look(ctx context.Context, addr netip.Addr, login string) (Insight, error) {
	r := g.rules.Load()
	a := Attempt{Client: addr, Login: login}
	who := g.identify(&a, r)
	in := Insight{
		Addr: who.addr, Client: who.client, Network: who.network, Account: who.account,
		AllowedClient: who.exemptClient, AllowedAccount: who.exemptAccount,
		Entries: g.table.now.Load().covering(&who),
	}
	var v Verdict
	decided := g.fromLedger(&v, &who, r)
	op := store.Op{Verb: store.Look, Client: who.client, Network: who.network, Account: who.account, AccountExempt: who.exemptAccount, Rules: &r.score}
	ops, out := [1]store.Op{op}, [1]store.Standing{}
	err := g.scores.Do(ctx, ops[:], out[:])
	in.Standing = out[0]
	switch {
	case decided:
	case err != nil:
		v = Verdict{Rule: RuleStoreFailing}
	default:
		v = Verdict{Standing: out[0]}
		// A wrong password that was never tried, by somebody whose secret counts.
		v.Would, v.Rule = r.judge(&out[0], question{
			secret: score.Sure, client: who.addr.IsValid() && !who.exemptClient,
			account: who.account != "" && !who.exemptAccount, login: true,
		})
	}
	v.rules = r
	if v.Would == Tarpit {
		v.Delay = r.delay(&v.Standing, v.Rule, false)
	}
	in.Verdict = v
	return in, err
}

// covering returns the entries in force that cover a client or an account.
func (l *ledger) covering(who *identity) []store.Entry {
	var all []store.Entry
	for kind := range l.prefixes {
		if who.addr.IsValid() {
			for _, e := range l.prefixes[kind].Supernets(netip.PrefixFrom(who.addr, who.addr.BitLen())) {
				if e.Live(who.at) {
					all = append(all, *e)
				}
			}
		}
		if e := l.account(store.EntryKind(kind), who.account, who.at); e != nil {
			all = append(all, *e)
		}
	}
	return all
}

// Entries returns the bans and entries of the allowlist that are in force and
// wanted, in no order. It reads what this host has in memory, which is all.
func (g *Guard) Entries(want func(*store.Entry) bool) []store.Entry {
	var all []store.Entry
	now, l := g.now(), g.table.now.Load()
	add := func(e *store.Entry) {
		if e.Live(now) && want(e) {
			all = append(all, *e)
		}
	}
	for _, t := range l.prefixes {
		for _, e := range t.All() {
			add(e)
		}
	}
	for _, e := range l.accounts {
		add(e)
	}
	return all
}

// Entry returns the entry in force of exactly this kind, prefix and account.
func (g *Guard) Entry(name store.Entry) (store.Entry, bool) {
	l, now := g.table.now.Load(), g.now()
	var e *store.Entry
	if name.Account != "" {
		e = l.account(name.Kind, name.Account, now)
	} else if int(name.Kind) < len(l.prefixes) {
		e = l.exact(name.Kind, name.Prefix, now)
	}
	if e == nil {
		return store.Entry{}, false
	}
	return *e, true
}

// Covers returns the widest bans in force that contain a prefix without being
// it, the nearest first.
func (g *Guard) Covers(p netip.Prefix) []store.Entry {
	var all []store.Entry
	l, now := g.table.now.Load(), g.now()
	for _, kind := range []store.EntryKind{store.OperatorBan, store.AutomaticBan} {
		for _, e := range l.prefixes[kind].Supernets(p) {
			if e.Prefix != p && e.Live(now) {
				all = append(all, *e)
			}
		}
	}
	return all
}

// Position is how far this host has come in the ledger: all that it held there
// counts here.
func (g *Guard) Position() store.Position {
	if p := g.table.position.Load(); p != nil {
		return *p
	}
	return store.Position{}
}

// HalfLife is the time in which every score halves.
func (r *Rules) HalfLife() time.Duration { return time.Duration(r.score.HalfLife) * time.Millisecond }

// Points is what failed logins add, in points.
func (r *Rules) Points() PointsConfig { return r.points }

// Traps are the names under which accounts that nobody has may have been written.
func (r *Rules) Traps(n *Names) map[string]bool {
	traps := make(map[string]bool, 2*len(r.traps))
	for account := range r.traps {
		for _, name := range n.All(account) {
			traps[name] = true
		}
	}
	return traps
}

// Allowed tells whether the configuration exempts every address of a prefix.
func (r *Rules) Allowed(p netip.Prefix) bool { return r.allowClients.LookupPrefix(p) }

// AllowsWithin tells whether the configuration exempts an address of a prefix.
func (r *Rules) AllowsWithin(p netip.Prefix) bool { return r.allowClients.OverlapsPrefix(p) }

// ClientOf returns the client and the network that an address belongs to.
func (r *Rules) ClientOf(a netip.Addr) (client, network netip.Prefix) {
	return r.clientPrefix(clientAddr(a))
}

// Own tells whether a prefix contains an address of this host.
func (g *Guard) Own(p netip.Prefix) bool { return g.ownIn(p) }

// ParsePrefix reads an address or a prefix as an operator writes it; an address
// is the prefix of itself alone, and one that carries an IPv4 address is that.
// One who writes 192.0.2.7/24 meant the host or the network, and only he knows
// which: that is an error.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s has a zone, which no client has; allowed is %s", Printable(s), a.WithZone(""))
		}
		a = clientAddr(a)
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("\"%s\" is neither an address nor a prefix; allowed are 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 and the like", Printable(s))
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has host bits set; allowed is the network %s, or the address %s", p, p.Masked(), p.Addr())
	}
	return unwrap(p), nil
}
