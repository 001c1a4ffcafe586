package main

import "slices"

// series are the values of one figure, one of each round.
type series []float64

func (s series) sorted() series {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := s.sorted()
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func (s series) least() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Min(s)
}

func (s series) most() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Max(s)
}

// over divides what was measured in the same round.
func (s series) over(t series) series {
	var out series
	for i := range min(len(s), len(t)) {
		if t[i] != 0 {
			out = append(out, s[i]/t[i])
		}
	}
	return out
}

// target is what a figure has to reach.
type target struct {
	ratio   bool // it is the ratio that has to, not the value
	atLeast bool // else at most
	value   float64
}

func ratioAtLeast(v float64) *target { return &target{ratio: true, atLeast: true, value: v} }
func ratioAtMost(v float64) *target  { return &target{ratio: true, value: v} }
func atMost(v float64) *target       { return &target{value: v} }

// figure is a row of the table: what saslguard needs or does, beside a baseline that
// was measured in the same rounds.
type figure struct {
	part, what string
	unit       string
	ours       series
	beside     string // the baseline; "": none
	baseline   series
	target     *target
}

func (f *figure) ratio() series { return f.ours.over(f.baseline) }

// verdict tells whether the target is reached, by the median.
func (f *figure) verdict() (met, known bool) {
	if f.target == nil {
		return false, false
	}
	value := f.ours.median()
	if f.target.ratio {
		value = f.ratio().median()
	}
	if f.target.atLeast {
		return value >= f.target.value, true
	}
	return value <= f.target.value, true
}
