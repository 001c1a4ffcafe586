package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// The units of figures.
const (
	perSecond    = "/s"
	millis       = "ms"
	microseconds = "µs"
	seconds      = "s"
	megabytes    = "MB"
	octets       = "B"
	number       = ""
)

// The baselines' names in the table.
const (
	bareHTTP = "net/http with JSON"
	bareEcho = "line echo"
)

// print writes what was measured as the command line asks for, and into the document.
func (b *bench) print(w io.Writer) error {
	r, err := b.results()
	if err != nil {
		return err
	}
	if b.document != "" {
		if err := b.intoDocument(r); err != nil {
			return err
		}
	}
	switch b.output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "markdown":
		_, err = io.WriteString(w, r.markdown())
	default:
		_, err = io.WriteString(w, r.text())
	}
	return err
}

func (r *results) table() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"", "saslguard", "beside", "", "ratio", "target", ""})
	for i, f := range r.Figures {
		if i > 0 && r.Figures[i-1].Part != f.Part {
			t.AppendSeparator()
		}
		verdict := ""
		if f.Met != nil {
			verdict = map[bool]string{true: "met", false: "MISSED"}[*f.Met]
		}
		t.AppendRow(table.Row{f.What, spread(f.Values, f.Unit), f.Beside, spread(f.Baseline, f.Unit), ratioText(f.Ratio), f.Target, verdict})
	}
	return t
}

// markdown is the table for a document, with how it came about.
func (r *results) markdown() string {
	var s strings.Builder
	for _, run := range r.Runs {
		fmt.Fprintf(&s, "    %s\n\n%s\n\n", run.Command, run.Machine)
	}
	fmt.Fprintln(&s, r.table().RenderMarkdown())
	if len(r.Notes) > 0 {
		fmt.Fprintf(&s, "\n%s\n", strings.Join(r.Notes, "; "))
	}
	return s.String()
}

// text is the table for a terminal.
func (r *results) text() string {
	var s strings.Builder
	for _, run := range r.Runs {
		fmt.Fprintln(&s, run.Machine)
	}
	fmt.Fprintln(&s, r.table().Render())
	for _, n := range r.Notes {
		fmt.Fprintln(&s, n)
	}
	return s.String()
}

// spread is a median, and in brackets the least and the most.
func spread(s series, unit string) string {
	if len(s) == 0 {
		return ""
	}
	if len(s) == 1 {
		return quantity(s[0], unit)
	}
	return fmt.Sprintf("%s (%s to %s)", quantity(s.median(), unit), plain(s.least()), plain(s.most()))
}

func quantity(v float64, unit string) string {
	switch unit {
	case number:
		return plain(v)
	case perSecond:
		return plain(v) + unit
	default:
		return plain(v) + " " + unit
	}
}

// plain writes three digits that count, and thousands as k.
func plain(v float64) string {
	switch {
	case v >= 10_000:
		return fmt.Sprintf("%.1fk", v/1000)
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func ratioText(s series) string {
	if len(s) == 0 {
		return ""
	}
	if len(s) == 1 {
		return plain(s[0])
	}
	return fmt.Sprintf("%s (%s to %s)", plain(s.median()), plain(s.least()), plain(s.most()))
}

func (t *target) text(unit string) string {
	if t == nil {
		return ""
	}
	sign := "≤ "
	if t.atLeast {
		sign = "≥ "
	}
	if t.ratio {
		return sign + plain(t.value) + " ×"
	}
	return sign + quantity(t.value, unit)
}
