package score

// Elsewhere is the guess of the place that stands for all guesses in flight that only
// another store knows of. No attempt has it: the guard's guesses are odd.
const Elsewhere uint64 = 1<<64 - 2

// Level brings a subject to what another store, which hosts share, knows of it. before
// is what this one knew when both were asked. It tells whether anything changed. Touch
// comes before.
//
// The score is raised in any case. It is lowered where lower says that the other store
// lacks nothing, it is much lower there, as after a success on another host or an unban,
// and nothing was counted here since. What is in flight elsewhere takes one place,
// which lapses like any other, but counts for nothing.
func (s *Subject) Level(known, before *Reading, lower bool, now int64, r *Rules) (changed bool) {
	switch more := known.Score - s.Score; {
	case more > 0:
		s.Score = known.Score
		s.Counted = min(s.Counted+more*Point/max(r.Failure, 1), MaxScore)
		changed = true
	case lower && Apart(known, s.Score) && s.Score <= before.Score:
		s.Counted -= s.Counted * -more / s.Score
		s.Score = known.Score
		if s.Score == 0 {
			s.Counted, s.Repeats, s.Ring, s.Distinct = 0, 0, s.Ring[:0], 0
		}
		changed = true
	}
	return s.levelPlaces(known, now, r) || changed
}

// Apart tells whether a score is so much higher than what is known elsewhere that
// rounding is not why.
func Apart(known *Reading, s Milli) bool { return s-known.Score >= Point/2 }

// levelPlaces has the points in flight be as many as are known elsewhere, if those are
// more than one's own.
func (s *Subject) levelPlaces(known *Reading, now int64, r *Rules) (changed bool) {
	at := -1
	for i := range s.Places {
		if s.Places[i].Guess == Elsewhere {
			at = i
		}
	}
	was := Milli(0)
	if at >= 0 {
		was = s.Places[at].Points
	}
	more := max(0, known.InFlight-(s.inFlight()-was))
	switch {
	case more == 0 && at < 0 || more > 0 && at < 0 && len(s.Places) >= MaxPlaces:
		return false
	case more == 0:
		s.Places = append(s.Places[:at], s.Places[at+1:]...)
		return true
	case at < 0:
		s.Places = append(s.Places, Place{Guess: Elsewhere})
		at = len(s.Places) - 1
	}
	s.Places[at].Points, s.Places[at].Until = more, now+r.PlaceLife
	return true
}
