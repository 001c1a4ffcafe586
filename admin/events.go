package admin

import (
	"context"
	"slices"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
)

// events lists the latest events.
func (c *Control) events(ctx context.Context, _ *caller, q *api.EventsQuery) (*api.History, error) {
	f, err := c.filter(q)
	if err != nil {
		return nil, err
	}
	limit, err := within("limit", q.Limit, 100, 10_000)
	if err != nil {
		return nil, err
	}
	if q.Age < 0 {
		return nil, api.Wrong("age", "is %d; allowed are seconds", q.Age)
	}
	if q.Age > 0 {
		f.Since = time.Now().Add(-time.Duration(q.Age) * time.Second)
	}
	h := history(c.options.Events.Read(ctx, f, limit), limit)
	for i := range h.Events {
		c.locate(&h.Events[i])
	}
	return &h, nil
}

// watchEvents tells events as they happen.
func (c *Control) watchEvents(ctx context.Context, q *api.EventsQuery, l *lines) error {
	f, err := c.filter(q)
	if err != nil {
		return err
	}
	return c.options.Events.Follow(ctx, f, func(e eventlog.Event) error {
		c.locate(&e)
		return l.write(&e, true)
	})
}

// checkWatch says what is wrong with a query before the first line is sent.
func (c *Control) checkWatch(q *api.EventsQuery) error {
	if q.Age != 0 || q.Limit != 0 {
		return api.Wrong("age", "age and limit are of GET /v1/events; a watch tells what happens from now on")
	}
	_, err := c.filter(q)
	return err
}

// filter is what a query wants.
func (c *Control) filter(q *api.EventsQuery) (f eventlog.Filter, err error) {
	if f.Within, err = prefixOf("within", q.Within); err != nil {
		return f, err
	}
	f.Account = c.options.Guard.Rules().Account(q.Account)
	all := []eventlog.Kind{eventlog.Verdict, eventlog.Attempt, eventlog.Ban, eventlog.Unban, eventlog.Allow, eventlog.Brake}
	for _, k := range q.Kind {
		if !slices.Contains(all, eventlog.Kind(k)) {
			return f, api.Wrong("kind", "\"%s\" is not known; allowed are verdict, attempt, ban, unban, allow and brake", guard.Printable(k))
		}
		f.Kinds = append(f.Kinds, eventlog.Kind(k))
	}
	for _, a := range q.Action {
		if a != guard.Pass.String() && a != guard.Tarpit.String() && a != guard.Refuse.String() {
			return f, api.Wrong("action", "\"%s\" is not known; allowed are pass, tarpit and refuse", guard.Printable(a))
		}
		f.Actions = append(f.Actions, a)
	}
	return f, nil
}
