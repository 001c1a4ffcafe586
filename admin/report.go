package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

const (
	maxReport     = 1_000_000 // events; no more are kept
	maxReportDays = 400
	// many is from how many accounts a client sprays, and from how many clients an
	// attack on an account is distributed.
	many = 5
)

// report says what happened in a while.
func (c *Control) report(ctx context.Context, _ *caller, q *api.ReportQuery) (*api.Report, error) {
	age, err := within("age", q.Age, 24*3600, maxReportDays*24*3600)
	if err != nil {
		return nil, api.Wrong("age", "is %d seconds; allowed is 1 to %d, which is %d days", q.Age, maxReportDays*24*3600, maxReportDays)
	}
	top, err := within("top", q.Top, 10, 1000)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	out := &api.Report{Host: c.options.Host, Mode: c.mode(), From: now.Add(-time.Duration(age) * time.Second), To: now}
	page := c.options.Events.Read(ctx, eventlog.Filter{Since: out.From}, maxReport)
	out.Shared, out.Note = page.Shared, page.Note
	if page.Since.After(out.From) {
		out.Since = &page.Since
	}
	sum := newSummary()
	for i := range page.Events {
		sum.add(&page.Events[i])
	}
	sum.into(out, top)
	for _, list := range [][]api.ClientTally{out.Clients, out.Spray} {
		for i := range list {
			if p, err := guard.ParsePrefix(list[i].Client); err == nil {
				list[i].From = c.origin(p)
			}
		}
	}
	return out, nil
}

// summary adds events up.
type summary struct {
	total    api.Tally
	days     map[string]*api.Tally
	clients  map[string]*who
	accounts map[string]*who
	bans     []api.Event
}

// who is what a client did, or what was done to an account.
type who struct {
	failed, refused int
	others          map[string]bool
	last            time.Time
}

func newSummary() *summary {
	return &summary{days: map[string]*api.Tally{}, clients: map[string]*who{}, accounts: map[string]*who{}, bans: []api.Event{}}
}

func (s *summary) add(e *api.Event) {
	date := e.At.UTC().Format(time.DateOnly)
	day := s.days[date]
	if day == nil {
		day = new(api.Tally)
		s.days[date] = day
	}
	tally(&s.total, e)
	tally(day, e)
	switch {
	case e.Kind == eventlog.Ban || e.Kind == eventlog.Unban:
		s.bans = append(s.bans, *e)
	case failed(e):
		s.note(e, func(w *who) { w.failed += e.Count })
	case e.Kind == eventlog.Verdict && (e.Action == guard.Refuse.String() || e.Would == guard.Refuse.String()):
		s.note(e, func(w *who) { w.refused += e.Count })
	}
}

// note adds an event to its client and its account.
func (s *summary) note(e *api.Event, count func(*who)) {
	for _, side := range []struct {
		all         map[string]*who
		name, other string
	}{{s.clients, e.Client, e.Account}, {s.accounts, e.Account, e.Client}} {
		if side.name == "" {
			continue
		}
		w := side.all[side.name]
		if w == nil {
			w = &who{others: map[string]bool{}}
			side.all[side.name] = w
		}
		if side.other != "" {
			w.others[side.other] = true
		}
		count(w)
		if e.At.After(w.last) {
			w.last = e.At
		}
	}
}

// tally counts an event.
func tally(t *api.Tally, e *api.Event) {
	switch {
	case e.Kind == eventlog.Ban:
		t.Banned += e.Count
	case failed(e):
		t.Failed += e.Count
	case e.Kind == eventlog.Attempt && e.Outcome == guard.OutcomeName(score.Success):
		t.Succeeded += e.Count
	case e.Kind != eventlog.Verdict:
	case e.Action == guard.Refuse.String():
		t.Refused += e.Count
	case e.Action == guard.Tarpit.String():
		t.Delayed += e.Count
	case e.Would == guard.Refuse.String():
		t.WouldRefuse += e.Count
	case e.Would == guard.Tarpit.String():
		t.WouldDelay += e.Count
	}
}

// into writes the summary into a report, with so many of each list.
func (s *summary) into(out *api.Report, top int) {
	out.Total = s.total
	out.Days, out.Clients, out.Accounts = []api.Day{}, []api.ClientTally{}, []api.AccountTally{}
	out.Spray, out.Distributed = []api.ClientTally{}, []api.AccountTally{}
	for date, t := range s.days {
		out.Days = append(out.Days, api.Day{Date: date, Tally: *t})
	}
	slices.SortFunc(out.Days, func(a, b api.Day) int { return strings.Compare(a.Date, b.Date) })
	for name, w := range s.clients {
		one := api.ClientTally{Client: name, Failed: w.failed, Refused: w.refused, Accounts: len(w.others), Last: w.last}
		out.Clients = append(out.Clients, one)
		if one.Accounts >= many {
			out.Spray = append(out.Spray, one)
		}
	}
	for name, w := range s.accounts {
		one := api.AccountTally{Account: name, Failed: w.failed, Refused: w.refused, Clients: len(w.others), Last: w.last}
		out.Accounts = append(out.Accounts, one)
		if one.Clients >= many {
			out.Distributed = append(out.Distributed, one)
		}
	}
	slices.SortFunc(out.Clients, func(a, b api.ClientTally) int {
		return cmp.Or(b.Failed-a.Failed, b.Refused-a.Refused, strings.Compare(a.Client, b.Client))
	})
	slices.SortFunc(out.Spray, func(a, b api.ClientTally) int {
		return cmp.Or(b.Accounts-a.Accounts, strings.Compare(a.Client, b.Client))
	})
	slices.SortFunc(out.Accounts, func(a, b api.AccountTally) int {
		return cmp.Or(b.Failed-a.Failed, b.Refused-a.Refused, strings.Compare(a.Account, b.Account))
	})
	slices.SortFunc(out.Distributed, func(a, b api.AccountTally) int {
		return cmp.Or(b.Clients-a.Clients, strings.Compare(a.Account, b.Account))
	})
	out.Clients, out.Accounts = first(out.Clients, top), first(out.Accounts, top)
	out.Spray, out.Distributed = first(out.Spray, top), first(out.Distributed, top)
	out.Bans = s.bans[max(0, len(s.bans)-top):]
}

func first[T any](all []T, n int) []T { return all[:min(n, len(all))] }
