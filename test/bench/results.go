package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// results are what came of a run, and of earlier ones that it is added to.
type results struct {
	Runs    []measured `json:"runs"`
	Figures []row      `json:"figures"`
	Notes   []string   `json:"notes,omitempty"`
	Curves  []curve    `json:"curves,omitempty"`
}

// measured is how, when and on what.
type measured struct {
	Command string `json:"command"`
	Machine string `json:"machine"`
}

// row is a figure as it is printed. Values are of the rounds, in their order.
type row struct {
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

// results are those of this run behind those that --add names.
func (b *bench) results() (*results, error) {
	all := &results{}
	for _, path := range b.earlier {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var r results
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all.add(&r)
	}
	mine := &results{Runs: []measured{{strings.TrimSpace(b.command), b.machineLine()}}, Curves: b.curves}
	for _, f := range b.figures {
		r := row{Part: f.part, What: f.what, Unit: f.unit, Values: f.ours, Median: f.ours.median(),
			Beside: f.beside, Baseline: f.baseline, Ratio: f.ratio(), Target: f.target.text(f.unit)}
		if met, known := f.verdict(); known {
			r.Met = &met
		}
		mine.Figures = append(mine.Figures, r)
	}
	for _, n := range b.notes {
		if !slices.Contains(mine.Notes, n) {
			mine.Notes = append(mine.Notes, n)
		}
	}
	all.add(mine)
	return all, nil
}

func (r *results) add(o *results) {
	r.Runs = append(r.Runs, o.Runs...)
	r.Figures = append(r.Figures, o.Figures...)
	r.Notes = append(r.Notes, o.Notes...)
	r.Curves = append(r.Curves, o.Curves...)
}
