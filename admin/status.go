package admin

import (
	"context"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// status says how saslguard does, here and on the other hosts.
func (c *Control) status(ctx context.Context, _ *caller, _ *struct{}) (*api.Status, error) {
	health := worst(c.options.Health())
	out := &api.Status{
		Host: c.options.Host, Version: c.options.Version, Mode: c.mode(), State: string(health.State),
		At: time.Now().UTC(), Started: c.started, Store: "memory", Figures: c.figures(), Bans: c.counts(), Recent: c.recent(ctx),
	}
	if c.options.Cluster != nil {
		out.Store = "redis"
	}
	out.Parts = []api.Part{}
	for _, p := range health.Parts {
		out.Parts = append(out.Parts, api.Part{Name: p.Name, State: string(p.State), Detail: p.Detail})
	}
	out.Hosts, out.Note = c.hosts(ctx)
	out.UnresolvedNames = c.names.unresolved()
	return out, nil
}

func (c *Control) figures() api.Figures {
	f := c.options.Guard.Figures()
	return api.Figures{
		Attempts: f.Attempts, Failed: f.Attempts["failure"] + f.Attempts["unknown-account"],
		Refused: f.Refused, Delayed: f.Delayed, WouldRefuse: f.WouldRefuse, WouldDelay: f.WouldDelay,
		Banned: f.Bans, Dropped: f.Dropped, HeldPostfix: f.HeldPostfix, HeldDovecot: f.HeldDovecot, Paused: f.Braked,
	}
}

// counts counts the entries in force.
func (c *Control) counts() (n api.BanCounts) {
	c.options.Guard.Entries(func(e *store.Entry) bool {
		switch {
		case e.Kind == store.Allow:
			n.Allowed++
		case e.Account != "":
			n.Accounts++
		case e.Kind == store.OperatorBan:
			n.Operator++
		case e.Observed:
			n.Observed++
		default:
			n.Automatic++
		}
		return false
	})
	return n
}

// recent counts the clients that have failed lately.
func (c *Control) recent(ctx context.Context) api.Recent {
	while := c.options.Guard.Rules().HalfLife()
	page := c.options.Events.Read(ctx, eventlog.Filter{Kinds: []eventlog.Kind{eventlog.Attempt}, Since: time.Now().Add(-while)}, maxReport)
	clients := map[string]bool{}
	for i := range page.Events {
		if e := &page.Events[i]; failed(e) {
			clients[e.Client] = true
		}
	}
	return api.Recent{Clients: len(clients), Seconds: while.Seconds(), Shared: page.Shared}
}

// failed tells whether an event is of wrong passwords, or of accounts that do
// not exist.
func failed(e *eventlog.Event) bool {
	return e.Kind == eventlog.Attempt && (e.Outcome == guard.OutcomeName(failure) || e.Outcome == guard.OutcomeName(unknownAccount))
}
