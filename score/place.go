package score

// MaxPlaces bounds the attempts of one subject that are in flight at once.
const MaxPlaces = 64

// Place is an attempt in flight: asked about, and not reported yet. Its points
// are spoken for, so that guesses made at the same time cannot all pass a score
// that none of them has raised yet.
type Place struct {
	Guess  uint64 // tells an attempt from others; 0: it cannot be told
	Until  int64  // Unix milliseconds; after that it lapses
	Points Milli  // the most that the attempt may add
	Entry  Entry
	Counts bool // a lapse counts as a failure
}

// inFlight is the sum of the points of the places.
func (s *Subject) inFlight() Milli {
	var sum Milli
	for i := range s.Places {
		sum += s.Places[i].Points
	}
	return sum
}

// lapse ends the places that have waited too long, each at its own time. One
// that counts was verified for all we know: it is counted as a failure, and as
// no more than that, since the report may only be late.
func (s *Subject) lapse(now int64, k Kind, r *Rules) {
	kept := s.Places[:0]
	for _, p := range s.Places {
		switch {
		case p.Until > now:
			kept = append(kept, p)
		case p.Counts:
			// The same wrong password may have been reported by another session.
			if known, _ := s.find(p.Entry); !known {
				s.decay(p.Until, r)
				s.add(min(p.Points, r.Failure), p.Until, k, r)
				s.push(p.Entry)
			}
		}
	}
	s.Places = kept
}

// Reserve takes a place for an attempt that may add points, if it fits: that is
// while the score and the points in flight leave room for one more failed login
// below the refuse score. An
// attempt that can add nothing takes no place, and neither does a second
// question about an attempt in flight. It tells whether the attempt may go on
// as far as this subject is concerned, and whether a place was taken. Touch
// comes before.
func (s *Subject) Reserve(k Kind, e Event, counts bool, r *Rules) (fits, taken bool) {
	if r.Tiers(k).Refuse == 0 {
		return true, false
	}
	points := s.worst(k, e, r)
	if s.holds(&e) || points == 0 {
		return !r.Refuses(k, s.Score), false
	}
	if r.Refuses(k, s.Score+s.inFlight()) || len(s.Places) >= MaxPlaces {
		return false, false
	}
	s.Places = append(s.Places, Place{
		Guess: e.Guess, Until: e.At + r.PlaceLife, Points: points, Entry: e.Entry, Counts: counts,
	})
	return true, true
}

// holds tells whether the attempt is in flight already, or another with the
// same account and password, which can teach the attacker nothing more.
func (s *Subject) holds(e *Event) bool {
	same := e.Secret == Sure || e.Secret == Rotates
	for _, p := range s.Places {
		if e.Guess != 0 && p.Guess == e.Guess || same && p.Entry == e.Entry {
			return true
		}
	}
	return false
}

// worst is the most that an attempt may add once it is verified. Where equal
// tokens need not be equal passwords, every guess takes a place: free repeats
// are for passwords that come one after the other.
func (s *Subject) worst(k Kind, e Event, r *Rules) Milli {
	if e.Outcome == Unknown {
		e.Outcome = UnknownAccount
		if e.Familiar {
			e.Outcome = Failure
		}
	}
	points, _ := s.weigh(k, &e, met{}, e.Secret == None || e.Secret == Unsure, r)
	if points > 0 && k == Client && len(s.Ring) == 0 && s.another(e.Entry.Member()) {
		points += r.FurtherAccount // whichever is reported first, this or that one is a further account
	}
	return points
}

// another tells whether an attempt at another account is in flight.
func (s *Subject) another(member uint32) bool {
	for _, p := range s.Places {
		if p.Entry.Member() != member && p.Guess != Elsewhere {
			return true
		}
	}
	return false
}

// Settle frees the place of a reported attempt and tells whether there was one.
// Attempts that cannot be told apart are freed oldest first; a success frees
// them all, since it was asked about more than once. One of them that was refused
// frees none: it has no place, and what it would free is that of another, which is
// being verified.
func (s *Subject) Settle(e Event) bool { return s.settle(&e) }

func (s *Subject) settle(e *Event) bool {
	if e.Guess == 0 && (e.Outcome == Refused || e.Outcome == Crowded) {
		return false
	}
	kept, freed := s.Places[:0], false
	for _, p := range s.Places {
		mine := p.Guess == e.Guess && (e.Guess != 0 || p.Entry.Member() == e.Entry.Member())
		if mine && (!freed || e.Outcome == Success) {
			freed = true
			continue
		}
		kept = append(kept, p)
	}
	s.Places = kept
	return freed
}
