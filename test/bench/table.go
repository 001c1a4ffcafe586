package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
	if b.document != "" {
		if err := b.intoDocument(); err != nil {
			return err
		}
	}
	switch b.output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(b.asJSON())
	case "markdown":
		_, err := io.WriteString(w, b.markdown())
		return err
	case "table":
		_, err := fmt.Fprintf(w, "%s\n%s", b.machineLine(), b.table().Render()+"\n"+b.notesText())
		return err
	default:
		return fmt.Errorf("there is no format %q; there are table, markdown and json", b.output)
	}
}

func (b *bench) table() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"", "saslguard", "beside", "", "ratio", "target", ""})
	for i, f := range b.figures {
		if i > 0 && b.figures[i-1].part != f.part {
			t.AppendSeparator()
		}
		verdict := ""
		if met, known := f.verdict(); known {
			verdict = map[bool]string{true: "met", false: "MISSED"}[met]
		}
		t.AppendRow(table.Row{f.what, spread(f.ours, f.unit), f.beside, spread(f.baseline, f.unit), ratioText(f.ratio()), f.target.text(f.unit), verdict})
	}
	return t
}

// markdown is the table for a document, with how it came about.
func (b *bench) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "    %s\n\n%s\n\n%s\n", strings.TrimSpace(b.command), b.machineLine(), b.table().RenderMarkdown())
	if notes := b.notesText(); notes != "" {
		fmt.Fprintf(&s, "\n%s", notes)
	}
	return s.String()
}

func (b *bench) notesText() string {
	var s strings.Builder
	for _, n := range slices.Compact(slices.Sorted(slices.Values(b.notes))) {
		fmt.Fprintln(&s, n+".")
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

// jsonFigure is a row for programs. Values are of the rounds, in their order.
type jsonFigure struct {
	Part     string  `json:"part"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Values   series  `json:"values"`
	Median   float64 `json:"median"`
	Beside   string  `json:"beside,omitempty"`
	Baseline series  `json:"baseline,omitempty"`
	Ratio    series  `json:"ratio,omitempty"`
	Target   string  `json:"target,omitempty"`
	Met      *bool   `json:"met,omitempty"`
}

func (b *bench) asJSON() any {
	figures := make([]jsonFigure, 0, len(b.figures))
	for _, f := range b.figures {
		j := jsonFigure{Part: f.part, What: f.what, Unit: f.unit, Values: f.ours, Median: f.ours.median(),
			Beside: f.beside, Baseline: f.baseline, Ratio: f.ratio(), Target: f.target.text(f.unit)}
		if met, known := f.verdict(); known {
			j.Met = &met
		}
		figures = append(figures, j)
	}
	return struct {
		Command string       `json:"command"`
		Machine string       `json:"machine"`
		Figures []jsonFigure `json:"figures"`
		Notes   []string     `json:"notes,omitempty"`
	}{strings.TrimSpace(b.command), b.machineLine(), figures, b.notes}
}
