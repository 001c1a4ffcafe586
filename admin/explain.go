package admin

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// The outcomes of attempts that events name.
const (
	failure        = score.Failure
	unknownAccount = score.UnknownAccount
)

// explain says why a client or an account is treated as it is.
func (c *Control) explain(ctx context.Context, _ *caller, q *api.ExplainQuery) (*api.Explanation, error) {
	limit, err := within("limit", q.Limit, 20, 1000)
	if err != nil {
		return nil, err
	}
	var addr netip.Addr
	if q.Address != "" {
		p, err := guard.ParsePrefix(q.Address)
		if err != nil {
			return nil, api.Wrong("address", "%v", err)
		}
		addr = p.Addr() // of a network its first address stands for it
	}
	if !addr.IsValid() && q.Account == "" {
		return nil, api.Wrong("address", "an address or an account is needed")
	}
	if len(q.Account) > store.MaxAccount {
		return nil, api.Wrong("account", "has %d octets; allowed are at most %d", len(q.Account), store.MaxAccount)
	}
	in, storeErr := c.options.Guard.Look(ctx, addr, q.Account)
	out := &api.Explanation{
		Host: c.options.Host, Mode: c.mode(), Account: in.Account, Next: next(&in, c.mode()),
		Familiar: in.Standing.Familiar, FamiliarAccounts: in.Standing.FamiliarAccounts,
		Subjects: subjects(&in, c.options.Guard.Rules()), Entries: []api.Entry{}, Contributions: []api.Contribution{}, Firewalls: []api.Holding{},
	}
	var filter eventlog.Filter
	if in.Addr.IsValid() {
		out.Address, out.Client, out.Network = in.Addr.String(), in.Client.String(), in.Network.String()
		out.Configured = c.options.Guard.Rules().Allowed(netip.PrefixFrom(in.Addr, in.Addr.BitLen()))
		filter.Within = in.Client
		out.From = c.describe(ctx, in.Addr)
	} else {
		filter.Account = in.Account
	}
	if storeErr != nil {
		out.Known = "the store does not answer, so scores are not known now"
	}
	if guard.IsHashed(in.Account) {
		out.Known = "this is the name of a hashed login: it finds its events; scores and bans are found by the login itself"
	}
	for i := range in.Entries {
		out.Entries = append(out.Entries, api.FromEntry(&in.Entries[i]))
	}
	all := c.options.Events.Read(ctx, filter, maxReport)
	out.Contributions = contributions(sinceForgotten(all.Events, in.Client), c.options.Guard, time.Now())
	if in.Account != "" {
		all.Events = about(all.Events, c.options.Guard.Names().All(in.Account))
	}
	out.Events = history(all, limit)
	out.Firewalls = c.holdings(ctx, &in)
	return out, nil
}

// next is what the next attempt would meet.
func next(in *guard.Insight, mode string) api.Next {
	v := &in.Verdict
	n := api.Next{Action: v.Would.String(), Would: v.Would.String(), Rule: string(v.Rule), Reason: v.Reason(), Delay: v.Delay.Seconds()}
	if mode == "observe" {
		n.Action = guard.Pass.String()
	}
	return n
}

// subjects are those that have something to say.
func subjects(in *guard.Insight, r *guard.Rules) []api.Subject {
	all := []api.Subject{}
	add := func(kind string, k score.Kind, name string, reading score.Reading) {
		t := r.Tiers(k)
		all = append(all, api.Subject{
			Kind: kind, Name: name, Points: eventlog.Points(reading.Score), InFlight: eventlog.Points(reading.InFlight), Distinct: reading.Distinct,
			Tarpit: eventlog.Points(t.Tarpit), Refuse: eventlog.Points(t.Refuse), Ban: eventlog.Points(t.Ban),
		})
	}
	if in.Addr.IsValid() {
		add("client", score.Client, in.Client.String(), in.Standing.Client)
		add("network", score.Network, in.Network.String(), in.Standing.Network)
	}
	if in.Account != "" {
		add("account", score.Account, guard.Printable(in.Account), in.Standing.Account)
	}
	if in.Standing.Familiar {
		add("pair", score.Pair, guard.Printable(in.Account)+" from "+in.Network.String(), in.Standing.Pair)
	}
	return all
}

// sinceForgotten are the events after a client's score was forgotten: since it was
// unbanned itself, for a wider or narrower ban leaves the score as it is.
func sinceForgotten(events []eventlog.Event, client netip.Prefix) []eventlog.Event {
	for i := len(events) - 1; i >= 0; i-- {
		if e := &events[i]; e.Kind == eventlog.Unban && e.Client == client.String() && e.Rule != ruleKeepScore {
			return events[i+1:]
		}
	}
	return events
}

// about are the events of an account, and those that concern the client whoever
// logs in.
func about(events []eventlog.Event, names []string) []eventlog.Event {
	var kept []eventlog.Event
	for i := range events {
		if e := &events[i]; e.Account == "" || slices.Contains(names, e.Account) {
			kept = append(kept, *e)
		}
	}
	return kept
}

// contributions say what each rule has added to clients' scores, and what is
// left of it.
func contributions(events []eventlog.Event, g *guard.Guard, now time.Time) []api.Contribution {
	r := g.Rules()
	points, traps := r.Points(), r.Traps(g.Names())
	add := map[string]*api.Contribution{}
	order := []struct{ rule, text string }{
		{"points.failure", "wrong passwords that were new"},
		{"points.unknown_account", "on accounts that do not exist"},
		{"points.further_account", "on one more account of the same client"},
		{"refused", "attempts that were refused, once for each new password"},
		{"trap_accounts", "trap accounts"},
	}
	for _, o := range order {
		add[o.rule] = &api.Contribution{Rule: o.rule, Text: o.text}
	}
	for i := range events {
		e := &events[i]
		left := halved(now.Sub(e.At), r.HalfLife())
		take := func(rule string, amount float64) {
			if amount <= 0 {
				return
			}
			one := add[rule]
			one.Count += e.Count
			one.Earned += amount
			one.Now += amount * left
		}
		rest := e.Added
		switch {
		case e.Kind != eventlog.Attempt || rest <= 0:
			continue
		case e.Outcome == guard.OutcomeName(score.Refused):
			take("refused", rest)
			continue
		case traps[e.Account]:
			take("trap_accounts", rest)
			continue
		}
		base := min(rest, points.Failure*float64(e.Count))
		take("points.failure", base)
		rest -= base
		if e.Outcome == guard.OutcomeName(unknownAccount) {
			more := min(rest, points.UnknownAccount*float64(e.Count))
			take("points.unknown_account", more)
			rest -= more
		}
		if rest > 0.05 { // what is less has decayed meanwhile
			take("points.further_account", rest)
		}
	}
	out := []api.Contribution{}
	for _, o := range order {
		if one := add[o.rule]; one.Count > 0 {
			out = append(out, *one)
		}
	}
	return out
}

// halved is what is left of a point after a time.
func halved(age, halfLife time.Duration) float64 {
	return math.Exp2(-max(age, 0).Seconds() / halfLife.Seconds())
}

// history is the end of a page of events.
func history(p eventlog.Page, limit int) api.History {
	h := api.History{Events: p.Events, Shared: p.Shared, More: p.More, Note: p.Note}
	if n := len(h.Events); n > limit {
		h.Events, h.More = h.Events[n-limit:], true
	}
	if h.Events == nil {
		h.Events = []eventlog.Event{}
	}
	if !p.Since.IsZero() {
		h.Since = &p.Since
	}
	return h
}

// holdings say on which hosts the firewall holds a client.
func (c *Control) holdings(ctx context.Context, in *guard.Insight) []api.Holding {
	out := []api.Holding{}
	var ban *store.Entry
	for i := range in.Entries {
		e := &in.Entries[i]
		switch {
		case e.Account != "" || e.Observed:
		case e.Kind == store.Allow && ban == nil:
			return c.notHeld(ctx, out)
		case e.Kind != store.Allow && ban == nil:
			ban = e
		}
	}
	if ban == nil || in.AllowedClient && ban.Kind == store.AutomaticBan {
		return c.notHeld(ctx, out)
	}
	// A ban was in the ledger at its beginning: whoever has come to there has it.
	since := store.Position{Millis: uint64(max(ban.Since.UnixMilli(), 0))}
	return c.eachFirewall(ctx, func(a *api.Agent) bool {
		return strings.EqualFold(a.State, "running") && reached(a.Position, since)
	})
}

func (c *Control) notHeld(ctx context.Context, _ []api.Holding) []api.Holding {
	return c.eachFirewall(ctx, func(*api.Agent) bool { return false })
}

func (c *Control) eachFirewall(ctx context.Context, held func(*api.Agent) bool) []api.Holding {
	out := []api.Holding{}
	hosts, _ := c.hosts(ctx)
	for i := range hosts {
		if a := hosts[i].Firewall; a != nil {
			out = append(out, api.Holding{Host: hosts[i].Name, Held: held(a), State: a.State})
		}
	}
	return out
}
