package score

// Time is counted in steps of 1/1024 of a half-life. The factor of k steps,
// 2^(-k/1024), is the product of one entry of each table, as fixed point with
// 20 bits: coarse[k/32] is 2^(-k/32), fine[k%32] is 2^(-k/1024).
const (
	stepsPerHalfLife = 1024
	fixedOne         = 1 << 20
)

var coarse = [32]int64{
	1048576, 1026107, 1004120, 982604, 961548, 940944, 920782, 901051,
	881744, 862850, 844361, 826268, 808563, 791237, 774282, 757691,
	741455, 725567, 710020, 694806, 679917, 665348, 651091, 637140,
	623487, 610127, 597053, 584260, 571740, 559489, 547500, 535768,
}

var fine = [32]int64{
	1048576, 1047866, 1047157, 1046449, 1045741, 1045033, 1044326, 1043619,
	1042913, 1042207, 1041502, 1040797, 1040093, 1039389, 1038686, 1037983,
	1037281, 1036579, 1035877, 1035176, 1034476, 1033776, 1033076, 1032377,
	1031679, 1030981, 1030283, 1029586, 1028889, 1028193, 1027497, 1026802,
}

// Decay returns v after a number of steps. It rounds down, so it ends at zero.
func Decay(v Milli, steps int64) Milli {
	halvings := steps / stepsPerHalfLife
	if v <= 0 || halvings >= 32 {
		return 0
	}
	rest := steps % stepsPerHalfLife
	x := int64(v) >> halvings
	x = x * coarse[rest/32] / fixedOne
	x = x * fine[rest%32] / fixedOne
	return Milli(x)
}

// Steps is the number of whole steps in a span of milliseconds.
func (r *Rules) Steps(span int64) int64 {
	if span <= 0 {
		return 0
	}
	return min(span, 1<<42) * stepsPerHalfLife / r.HalfLife
}

// decay brings the subject's scores to a time. The subject's own time moves by
// whole steps only: were the rest dropped at each call, a subject that is
// touched more often than once a step would never decay.
func (s *Subject) decay(now int64, r *Rules) {
	if s.Score == 0 && s.Counted == 0 && s.Repeats == 0 {
		s.At = max(s.At, now)
		return
	}
	steps := r.Steps(now - s.At)
	if steps == 0 {
		return
	}
	s.Score = Decay(s.Score, steps)
	s.Counted = Decay(s.Counted, steps)
	s.Repeats = Decay(s.Repeats, steps)
	if steps >= 32*stepsPerHalfLife {
		s.At = now
	} else {
		s.At += steps * r.HalfLife / stepsPerHalfLife
	}
	if s.Score == 0 {
		// Nothing is owed any more: the subject is as new, and small.
		s.Counted, s.Repeats, s.Ring, s.Distinct = 0, 0, s.Ring[:0], 0
	}
}
