package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// reporter turns figures into a report's rows.
type reporter struct {
	s    *simulation
	zone *time.Location
	top  int // rows of a list; 0: all
}

func (r *reporter) result() Result {
	st := r.s.stats
	out := Result{
		Rules: r.s.set.Name, Terms: terms(r.s.set.Rules), Totals: st.totals,
		Dropped: Counts{Clients: st.clients.dropped, Accounts: st.accounts.dropped, Networks: st.networks.dropped},
		Said:    r.s.said.texts(), AccountsAtLeast: st.pairsFull,
	}
	out.Totals.Clients, out.Totals.Accounts = st.clients.dropped, st.accounts.dropped
	clients, accounts := r.inFocus()
	for _, c := range st.clients.subjects {
		if c.failures > 0 {
			out.Totals.Clients++
		}
		if c.bannedFrom != 0 {
			out.banned = append(out.banned, c.prefix)
		}
	}
	slices.SortFunc(out.banned, netip.Prefix.Compare)
	for _, a := range st.accounts.subjects {
		if a.failures > 0 {
			out.Totals.Accounts++
		}
	}
	out.Clients, out.Listed.Clients = foremost(r, r.clients(clients), compareClients, r.client)
	out.Accounts, out.Listed.Accounts = foremost(r, r.accounts(accounts), compareAccounts, r.account)
	out.Distributed, out.Listed.Distributed = listed(r, r.attacks(clients, accounts), compareAttacks)
	out.FalseAlarms, out.Listed.FalseAlarms = listed(r, r.falseAlarms(clients), compareFalseAlarms)
	if st.watch != nil {
		out.Events, out.EventsLeft = r.events(st.watch), st.watch.more
	}
	return out
}

// listed sorts rows and returns the first of them, and how many there were.
func listed[T any](r *reporter, rows []T, compare func(a, b T) int) ([]T, int) {
	slices.SortFunc(rows, compare)
	n := len(rows)
	if r.top > 0 && n > r.top {
		rows = rows[:r.top:r.top]
	}
	if rows == nil {
		rows = []T{} // an empty list in JSON, not null
	}
	return rows, n
}

// foremost sorts subjects and returns rows of the first of them, and how many there were.
func foremost[S, T any](r *reporter, subjects []S, compare func(a, b S) int, row func(S) T) ([]T, int) {
	slices.SortFunc(subjects, compare)
	n := len(subjects)
	if r.top > 0 && n > r.top {
		subjects = subjects[:r.top]
	}
	rows := make([]T, len(subjects))
	for i, s := range subjects {
		rows[i] = row(s)
	}
	return rows, n
}

func terms(c guard.Config) Terms {
	return Terms{
		HalfLife: short(c.HalfLife), Tarpit: c.Client.Tarpit, Refuse: c.Client.Refuse, Ban: c.Client.Ban,
		FirstBan: short(c.Ban.First), MaxBan: short(c.Ban.Max),
	}
}

// inFocus returns the numbers of the clients and accounts that a report is about,
// nil where it is about all of them: those in focus, and those with which they had
// to do.
func (r *reporter) inFocus() (clients, accounts map[uint32]bool) {
	st := r.s.stats
	if st.watch == nil {
		return nil, nil
	}
	focus := st.watch.focus
	clients, accounts = map[uint32]bool{}, map[uint32]bool{}
	for _, c := range st.clients.subjects {
		if focus.Client.IsValid() && focus.Client.Overlaps(c.prefix) {
			clients[c.number] = true
		}
	}
	if a := st.accounts.subjects[focus.Account]; a != nil {
		accounts[a.number] = true
	}
	ofClients, ofAccounts := map[uint32]bool{}, map[uint32]bool{}
	for p := range st.pairs {
		if clients[p.client] {
			ofClients[p.account] = true
		}
		if accounts[p.account] {
			ofAccounts[p.client] = true
		}
	}
	switch {
	case !focus.Client.IsValid():
		return ofAccounts, accounts
	case focus.Account == "":
		return clients, ofClients
	}
	return clients, accounts
}

func has(numbers map[uint32]bool, n uint32) bool { return numbers == nil || numbers[n] }

func (r *reporter) clients(wanted map[uint32]bool) []*client {
	var all []*client
	for _, c := range r.s.stats.clients.subjects {
		if has(wanted, c.number) {
			all = append(all, c)
		}
	}
	return all
}

func (r *reporter) client(c *client) Client {
	return Client{
		Client: clientName(c.prefix), Failures: c.failures, Verified: c.verified, Refused: c.refused, Accounts: c.accounts,
		Successes: c.successful, First: r.time(c.first), Last: r.time(max(c.first, c.last)),
		DelayedFrom: r.time(c.delayedFrom), RefusedFrom: r.time(c.refusedFrom), RefusedBy: string(c.rule),
		BannedFrom: r.time(c.bannedFrom), Bans: c.bans, BannedUntil: r.time(c.bannedUntil), prefix: c.prefix,
	}
}

func compareClients(a, b *client) int {
	return cmp.Or(cmp.Compare(b.failures, a.failures), a.prefix.Compare(b.prefix))
}

func (r *reporter) accounts(wanted map[uint32]bool) []*account {
	var all []*account
	for _, a := range r.s.stats.accounts.subjects {
		if a.failures > 0 && has(wanted, a.number) {
			all = append(all, a)
		}
	}
	return all
}

func (r *reporter) account(a *account) Account {
	return Account{
		Account: a.name, Failures: a.failures, Verified: a.verified, Clients: a.clients, Successes: a.successes,
		First: r.time(a.first), Last: r.time(a.last),
	}
}

func compareAccounts(a, b *account) int {
	return cmp.Or(cmp.Compare(b.failures, a.failures), cmp.Compare(a.name, b.name))
}

// attacks are those that the guard itself has called distributed: it delayed or
// refused for the score of an account or a network, while the client's own score
// spoke for nothing yet.
func (r *reporter) attacks(clients, accounts map[uint32]bool) []Attack {
	var rows []Attack
	for _, a := range r.s.stats.accounts.subjects {
		if a.delayedFrom != 0 && has(accounts, a.number) {
			rows = append(rows, Attack{
				Account: a.name, Failures: a.failures, Clients: a.clients, First: r.time(a.first), Last: r.time(max(a.first, a.last)),
				From: r.time(a.delayedFrom), Delayed: a.delayed, Refused: a.refused,
			})
		}
	}
	networks := map[netip.Prefix]bool{}
	if clients != nil {
		for _, c := range r.s.stats.clients.subjects {
			if clients[c.number] {
				_, n := r.s.rules.Subjects(c.prefix.Addr())
				networks[n] = true
			}
		}
	}
	for _, n := range r.s.stats.networks.subjects {
		if n.delayedFrom != 0 && (clients == nil || networks[n.prefix]) {
			rows = append(rows, Attack{
				Network: n.prefix.String(), Failures: n.failures, Clients: n.clients, First: r.time(n.first), Last: r.time(max(n.first, n.last)),
				From: r.time(n.delayedFrom), Delayed: n.delayed, Refused: n.refused,
			})
		}
	}
	return rows
}

func compareAttacks(a, b Attack) int {
	return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Network, b.Network))
}

func (r *reporter) falseAlarms(wanted map[uint32]bool) []FalseAlarm {
	var rows []FalseAlarm
	for _, c := range r.s.stats.clients.subjects {
		if c.loginAt != 0 && has(wanted, c.number) {
			rows = append(rows, FalseAlarm{
				Client: clientName(c.prefix), Failures: c.failures,
				RefusedFrom: r.time(c.refusedFrom), BannedFrom: r.time(c.bannedFrom),
				KeptOut: c.keptOut, Later: c.later, LoginAt: r.time(c.loginAt), LoginAs: c.loginAs,
			})
		}
	}
	return rows
}

func compareFalseAlarms(a, b FalseAlarm) int {
	return cmp.Or(cmp.Compare(b.KeptOut, a.KeptOut), cmp.Compare(b.Later, a.Later), cmp.Compare(a.Client, b.Client))
}

func (r *reporter) events(t *timeline) []Event {
	rows := make([]Event, 0, len(t.events))
	for i := range t.events {
		e := &t.events[i]
		row := Event{
			At: r.time(e.at), Until: r.time(e.until), Attempts: e.count, Account: e.account, Outcome: "ignored",
			Action: e.action.String(), Delay: e.delay.Seconds(), Rule: string(e.rule), Reason: e.reason,
			Banned: e.banned, BannedUntil: r.time(e.ended),
		}
		if e.client.IsValid() {
			row.Client = clientName(e.client)
		}
		switch {
		case e.failed:
			row.Outcome = "failure"
		case e.passed:
			row.Outcome = "success"
		}
		rows = append(rows, row)
	}
	return rows
}

// time is a time of the figures, the zero one for never.
func (r *reporter) time(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).In(r.zone)
}

// clientName writes a client as other tools read it: an address as such.
func clientName(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
