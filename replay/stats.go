package replay

import (
	"net/netip"

	"github.com/saslguard/saslguard/guard"
)

// Limits are how much is remembered of a log for the report. What the guard itself
// remembers is bounded by its store.
type limits struct {
	clients, networks, accounts, pairs int
}

func defaultLimits() limits {
	return limits{clients: 200_000, networks: 100_000, accounts: 100_000, pairs: 2_000_000}
}

// stats are the figures of a replay under one set of rules.
type stats struct {
	clients  *bounded[netip.Prefix, *client]
	networks *bounded[netip.Prefix, *network]
	accounts *bounded[string, *account]

	// pairs counts the failures of a client at an account. Both have numbers, so
	// that a pair is small.
	pairs     map[pair]uint32
	pairLimit int
	pairsFull bool
	numbers   uint32

	totals Totals
	watch  *timeline // nil: nobody asked for one
}

type pair struct{ client, account uint32 }

// client is what is known of a client that failed, or was refused.
type client struct {
	number      uint32
	prefix      netip.Prefix
	failures    int // that the log tells of
	accounts    int // at which it failed
	verified    int // failures that the guard would have let through
	refused     int // attempts that it would have refused
	first, last int64

	delayedFrom, refusedFrom, bannedFrom, bannedUntil int64 // 0: never
	bans                                              int
	rule                                              guard.Rule // that refused it first

	keptOut    int    // logins that succeeded and would have been refused
	later      int    // that succeeded, and passed, after a refusal or a ban
	loginAt    int64  // the first of them
	loginAs    string // and its account
	successful int    // all logins that succeeded since it is known
}

func (c *client) weight() (int, int64) { return c.failures, c.last }

type network struct {
	prefix      netip.Prefix
	failures    int
	clients     int
	first, last int64
	delayedFrom int64 // by the network's score
	delayed     int
	refused     int
}

func (n *network) weight() (int, int64) { return n.failures, n.last }

type account struct {
	number      uint32
	name        string
	failures    int
	clients     int
	verified    int
	successes   int
	first, last int64
	delayedFrom int64 // by the account's score
	delayed     int
	refused     int
}

func (a *account) weight() (int, int64) { return a.failures, a.last }

func newStats(l limits, focus Focus) *stats {
	s := &stats{
		clients:  newBounded[netip.Prefix, *client](l.clients),
		networks: newBounded[netip.Prefix, *network](l.networks),
		accounts: newBounded[string, *account](l.accounts),
		pairs:    map[pair]uint32{}, pairLimit: l.pairs,
	}
	if focus.Set() {
		s.watch = &timeline{focus: focus}
	}
	return s
}

// note takes an attempt into the figures.
func (s *stats) note(st *step) {
	s.totals.note(st)
	c, fresh := s.noteClient(st)
	n := s.noteNetwork(st)
	a := s.noteAccount(st)
	if c != nil && a != nil && st.failed {
		s.notePair(c, a, st.times)
	}
	if n != nil && fresh {
		n.clients++
	}
	if s.watch != nil {
		s.watch.note(st)
	}
}

// noteClient returns the client, if it has figures, and whether this was its first
// failure.
func (s *stats) noteClient(st *step) (c *client, fresh bool) {
	refused := st.action == guard.Refuse
	c = s.clients.subjects[st.client]
	if c == nil {
		if !st.failed && !refused || !st.client.IsValid() {
			return nil, false // whoever only ever succeeds needs no figures
		}
		s.numbers++
		c = &client{number: s.numbers, prefix: st.client, first: st.at}
		s.clients.add(st.client, c)
	}
	if st.failed {
		if c.failures == 0 {
			c.first, fresh = st.at, true
		}
		c.failures += st.times
		c.last = max(c.last, st.at)
		if !refused {
			c.verified += st.times
		}
	}
	if st.passed {
		c.success(st, refused)
	}
	switch {
	case refused:
		c.refused += st.times
		if c.refusedFrom == 0 {
			c.refusedFrom, c.rule = st.at, st.rule
			s.totals.ClientsRefused++
		}
	case st.action == guard.Tarpit && c.delayedFrom == 0:
		c.delayedFrom = st.at
		s.totals.ClientsDelayed++
	}
	if st.banned && st.until > c.bannedUntil {
		if c.bannedFrom == 0 {
			c.bannedFrom = st.at
			s.totals.ClientsBanned++
		}
		c.bans++
		c.bannedUntil = st.until
		s.totals.Bans++
	}
	return c, fresh
}

// success takes a login into account that the log says succeeded.
func (c *client) success(st *step, refused bool) {
	c.successful += st.times
	if !refused && c.refusedFrom == 0 && c.bannedFrom == 0 {
		return
	}
	if refused {
		c.keptOut += st.times
	} else {
		c.later += st.times
	}
	if c.loginAt == 0 {
		c.loginAt, c.loginAs = st.at, st.account
	}
}

func (s *stats) noteNetwork(st *step) *network {
	if !st.network.IsValid() {
		return nil
	}
	byNetwork := st.rule == guard.RuleNetworkScore
	n := s.networks.subjects[st.network]
	if n == nil {
		if !st.failed && !byNetwork {
			return nil
		}
		n = &network{prefix: st.network, first: st.at}
		s.networks.add(st.network, n)
	}
	if st.failed {
		n.failures += st.times
		n.last = max(n.last, st.at)
	}
	if byNetwork {
		mark(st, &n.delayedFrom, &n.delayed, &n.refused)
	}
	return n
}

func (s *stats) noteAccount(st *step) *account {
	if st.account == "" {
		return nil
	}
	byAccount := st.rule == guard.RuleAccountScore
	a := s.accounts.subjects[st.account]
	if a == nil {
		if !st.failed && !byAccount {
			return nil
		}
		s.numbers++
		a = &account{number: s.numbers, name: st.account, first: st.at}
		s.accounts.add(st.account, a)
	}
	switch {
	case st.failed:
		a.failures += st.times
		a.last = max(a.last, st.at)
		if st.action != guard.Refuse {
			a.verified += st.times
		}
	case st.passed:
		a.successes += st.times
	}
	if byAccount {
		mark(st, &a.delayedFrom, &a.delayed, &a.refused)
	}
	return a
}

// mark notes what the score of a network or an account led to.
func mark(st *step, from *int64, delayed, refused *int) {
	if *from == 0 {
		*from = st.at
	}
	if st.action == guard.Refuse {
		*refused += st.times
	} else {
		*delayed += st.times
	}
}

func (s *stats) notePair(c *client, a *account, times int) {
	p := pair{c.number, a.number}
	n, known := s.pairs[p]
	if !known {
		if len(s.pairs) >= s.pairLimit {
			s.pairsFull = true
			return
		}
		c.accounts++
		a.clients++
	}
	s.pairs[p] = n + uint32(times)
}
