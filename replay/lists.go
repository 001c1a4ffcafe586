package replay

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// shown is the part of a title that says how much of a list is shown.
func shown(n, of, dropped int) string {
	s := ""
	switch {
	case of == 0:
		return ": none"
	case n < of:
		s = fmt.Sprintf(" (%s of %s; --top 0 shows all)", number(n), number(of))
	default:
		s = fmt.Sprintf(" (%s)", number(of))
	}
	if dropped > 0 {
		s += fmt.Sprintf(", without the %s with the fewest failures, which there was no room for", number(dropped))
	}
	return s
}

func (w *writer) worst(r *Result) {
	rows := make([]table.Row, len(r.Clients))
	for i, c := range r.Clients {
		ban := after(c.BannedFrom, c.First)
		if c.Bans > 1 {
			ban += fmt.Sprintf(" (%d times)", c.Bans)
		}
		rows[i] = table.Row{
			c.Client, number(c.Failures), number(c.Verified), number(c.Refused), number(c.Accounts), number(c.Successes),
			c.First.Format(clockFormat), c.Last.Format(clockFormat),
			after(c.DelayedFrom, c.First), after(c.RefusedFrom, c.First), ban,
		}
	}
	w.rows("Worst clients"+shown(len(rows), r.Listed.Clients, r.Dropped.Clients), []column{
		left("client"), right("failures"), right("verified"), right("refused"), right("accounts"), right("logins"),
		left("first"), left("last"), left("delayed from"), left("refused from"), left("banned from"),
	}, rows)
}

func (w *writer) attacked(r *Result) {
	rows := make([]table.Row, len(r.Accounts))
	for i, a := range r.Accounts {
		rows[i] = table.Row{
			clipped(a.Account, 48), number(a.Failures), number(a.Verified), number(a.Clients), number(a.Successes),
			a.First.Format(clockFormat), a.Last.Format(clockFormat),
		}
	}
	w.rows("Most attacked accounts"+shown(len(rows), r.Listed.Accounts, r.Dropped.Accounts), []column{
		left("account"), right("failures"), right("verified"), right("clients"), right("logins"), left("first"), left("last"),
	}, rows)
}

func (w *writer) distributed(r *Result) {
	rows := make([]table.Row, len(r.Distributed))
	for i, a := range r.Distributed {
		what := "account " + clipped(a.Account, 48)
		if a.Network != "" {
			what = "network " + a.Network
		}
		rows[i] = table.Row{
			what, number(a.Failures), number(a.Clients), a.First.Format(clockFormat), a.Last.Format(clockFormat),
			after(a.From, a.First), number(a.Delayed), number(a.Refused),
		}
	}
	w.rows("Distributed attacks"+shown(len(rows), r.Listed.Distributed, 0), []column{
		left("on or from"), right("failures"), right("clients"), left("first"), left("last"),
		left("noticed"), right("delayed"), right("refused"),
	}, rows)
}

func (w *writer) falseAlarms(r *Result) {
	rows := make([]table.Row, len(r.FalseAlarms))
	for i, f := range r.FalseAlarms {
		since := f.RefusedFrom
		if since.IsZero() || !f.BannedFrom.IsZero() && f.BannedFrom.Before(since) {
			since = f.BannedFrom
		}
		rows[i] = table.Row{
			f.Client, number(f.Failures), since.Format(clockFormat), stamp(f.BannedFrom), number(f.KeptOut), number(f.Later),
			f.LoginAt.Format(clockFormat), clipped(f.LoginAs, 48),
		}
	}
	w.rows("False alarms, or guessers who found a password"+shown(len(rows), r.Listed.FalseAlarms, 0), []column{
		left("client"), right("failures"), left("refused from"), left("banned from"),
		right("logins refused"), right("logins later"), left("first login"), left("as"),
	}, rows)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(clockFormat)
}

// events writes the timeline of who is in focus.
func (w *writer) events(r *Result) {
	if r.Events == nil {
		return
	}
	rows := make([]table.Row, len(r.Events))
	for i, e := range r.Events {
		action := e.Action
		switch {
		case e.Banned:
			action += ", ban"
		case e.Delay > 0:
			action += fmt.Sprintf(" %gs", e.Delay)
		}
		rows[i] = table.Row{e.At.Format(clockFormat), number(e.Attempts), e.Client, clipped(e.Account, 48), e.Outcome, action, e.Reason}
	}
	title := "What happened"
	if len(r.Events) == 0 {
		title += ": nothing that the logs tell of"
	}
	if r.EventsLeft > 0 {
		title += fmt.Sprintf(" (without the last %s)", counted(r.EventsLeft, "attempt"))
	}
	w.rows(title, []column{
		left("when"), right("attempts"), left("client"), left("account"), left("log says"), left("verdict"), left("why"),
	}, rows)
}
