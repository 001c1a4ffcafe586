package replay

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/saslguard/saslguard/maillog"
)

// clockFormat is how a moment is written in a table; the year is in the head of the
// report.
const clockFormat = "Jan _2 15:04:05"

// writer collects a report as text and keeps the first error.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}

// paragraph writes a text in lines that are no longer than a screen is wide.
func (w *writer) paragraph(s string) {
	for i, line := range strings.Split(text.WrapSoft(s, 100), "\n") {
		indent := "    "
		if i == 0 {
			indent = "  "
		}
		w.printf("%s%s\n", indent, strings.TrimRight(line, " "))
	}
}

// column is the head of a column.
type column struct {
	head   string
	number bool // set to the right
	name   bool // the head is a name, and stays as it is
}

func left(head string) column  { return column{head: head} }
func right(head string) column { return column{head: head, number: true} }

// rows writes a table, indented below its title.
func (w *writer) rows(title string, columns []column, rows []table.Row) {
	w.printf("\n%s\n", title)
	if len(rows) == 0 {
		return
	}
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	head := make(table.Row, len(columns))
	configs := make([]table.ColumnConfig, len(columns))
	for i, c := range columns {
		head[i] = strings.ToUpper(c.head)
		if c.name {
			head[i] = c.head
		}
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.number {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.AppendHeader(head)
	t.SetColumnConfigs(configs)
	t.AppendRows(rows)
	for line := range strings.Lines(t.Render() + "\n") {
		w.printf("  %s\n", strings.TrimRight(line, " \n"))
	}
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(out io.Writer) error {
	w := &writer{w: out}
	w.read(&r.Read)
	if r.Differences != nil {
		w.sideBySide(r)
	}
	for i := range r.Results {
		w.result(&r.Results[i], len(r.Results) > 1)
	}
	if len(r.Notes) > 0 {
		w.printf("\nWhat a log cannot tell\n")
		for _, n := range r.Notes {
			w.paragraph(n)
		}
	}
	return w.err
}

// read says what was read.
func (w *writer) read(r *Read) {
	w.printf("Read %s of %s", counted(r.Lines, "line"), counted(len(r.Files), "file"))
	if !r.First.IsZero() {
		w.printf(", from %s to %s", r.First.Format("2006-01-02 15:04:05"), r.Last.Format("2006-01-02 15:04:05 -0700"))
	}
	w.printf("\n")
	for _, f := range r.Files {
		if f.Error != "" {
			w.printf("  %s was not read to its end: %s\n", clipped(f.Name, 200), f.Error)
		}
	}
	w.printf("  %-58s %9s\n", "lines of logins that were recognised", number(r.Recognised))
	for _, p := range r.Programs {
		if p.Recognised+p.Unknown > 0 {
			w.printf("    %-56s %9s   %s\n", clipped(p.Name, 40), number(p.Recognised), p.told())
		}
	}
	for _, s := range r.Silent {
		w.printf("    %-56s %9s\n", "not counted: "+s.Why, number(s.Lines))
	}
	w.printf("  %-58s %9s\n", "lines about something else", number(r.Other))
	if r.Malformed > 0 {
		w.printf("  %-58s %9s\n", "lines that are no log lines", number(r.Malformed))
	}
	if r.Cut > 0 {
		w.printf("    %-56s %9s\n", fmt.Sprintf("longer than %d KiB, so that their end was not read", maillog.MaxLine>>10), number(r.Cut))
	}
	if r.Outside > 0 {
		w.printf("  %-58s %9s\n", "attempts outside of --since and --until", number(r.Outside))
	}
	w.printf("  %-58s %9s\n", "lines like a failed login, NOT recognised", number(r.Unknown))
	for _, s := range r.Samples {
		w.printf("    %s:%d: %s\n", clipped(s.File, 60), s.Line, s.Text)
	}
	if r.Unknown > len(r.Samples) && len(r.Samples) > 0 {
		w.printf("    and %s more; please report such lines, or see 'saslguard replay --explain'\n", number(r.Unknown-len(r.Samples)))
	}
}

// told says what a program's lines tell of.
func (p *Program) told() string {
	s := fmt.Sprintf("failed %s, successful %s", number(p.Failures), number(p.Successes))
	if p.Unknown > 0 {
		s += fmt.Sprintf(", NOT recognised %s", number(p.Unknown))
	}
	return s
}

// result writes what one set of rules would have done.
func (w *writer) result(r *Result, several bool) {
	t := &r.Totals
	if several {
		w.printf("\n==== %s ====\n", r.Rules)
	}
	w.printf("\nWith %s (a score halves in %s; delayed from %g points, refused from %g, banned at %g for %s)\n",
		r.Rules, r.Terms.HalfLife, r.Terms.Tarpit, r.Terms.Refuse, r.Terms.Ban, r.Terms.ban())
	w.printf("  of %s, %s would have been verified, %s of them delayed; %s refused (%s)\n",
		counted(t.Failures, "failed login"), number(t.FailuresVerified), number(t.FailuresDelayed), number(t.FailuresRefused), share(t.FailuresRefused, t.Failures))
	w.printf("  of %s that failed, %s would have been delayed, %s refused, %s banned (%s)\n",
		counted(t.Clients, "client"), number(t.ClientsDelayed), number(t.ClientsRefused), number(t.ClientsBanned), counted(t.Bans, "ban"))
	w.printf("  of %s, %s would have been refused\n", counted(t.Successes, "successful login"), number(t.SuccessesRefused))
	for _, s := range r.Said {
		w.paragraph(s)
	}
	w.worst(r)
	w.attacked(r)
	w.distributed(r)
	w.falseAlarms(r)
	w.events(r)
}

func (t Terms) ban() string {
	if t.FirstBan == t.MaxBan {
		return t.FirstBan
	}
	return t.FirstBan + " to " + t.MaxBan
}

// sideBySide compares two sets of rules.
func (w *writer) sideBySide(r *Report) {
	a, b := &r.Results[0], &r.Results[1]
	row := func(what string, of func(*Result) int) table.Row {
		return table.Row{what, number(of(a)), number(of(b))}
	}
	w.rows("Side by side", []column{left(""), {a.Rules, true, true}, {b.Rules, true, true}}, []table.Row{
		row("failed logins verified", func(r *Result) int { return r.Totals.FailuresVerified }),
		row("failed logins delayed", func(r *Result) int { return r.Totals.FailuresDelayed }),
		row("failed logins refused", func(r *Result) int { return r.Totals.FailuresRefused }),
		row("clients delayed", func(r *Result) int { return r.Totals.ClientsDelayed }),
		row("clients refused", func(r *Result) int { return r.Totals.ClientsRefused }),
		row("clients banned", func(r *Result) int { return r.Totals.ClientsBanned }),
		row("bans", func(r *Result) int { return r.Totals.Bans }),
		row("distributed attacks", func(r *Result) int { return r.Listed.Distributed }),
		row("false alarms", func(r *Result) int { return r.Listed.FalseAlarms }),
		row("successful logins refused", func(r *Result) int { return r.Totals.SuccessesRefused }),
	})
	d := r.Differences
	rows := make([]table.Row, len(d.Clients))
	for i, c := range d.Clients {
		rows[i] = table.Row{c.Client, number(c.Failures), c.First, c.Second}
	}
	w.rows("Clients treated differently"+shown(len(rows), d.Listed, 0), []column{
		left("client"), right("failures"), {a.Rules, false, true}, {b.Rules, false, true},
	}, rows)
}

// WriteRaw writes the clients that would have been banned under the first set of
// rules, one a line.
func (r *Report) WriteRaw(out io.Writer) error {
	w := &writer{w: out}
	for _, p := range r.Results[0].banned {
		w.printf("%s\n", clientName(p))
	}
	return w.err
}
