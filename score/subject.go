package score

// Subject is what is known of one client, network, account or pair. Its zero
// value is a subject of which nothing is known.
type Subject struct {
	At      int64   // Unix milliseconds to which the scores below have decayed
	Score   Milli   // what the subject owes
	Counted Milli   // how many failures the score is made of, in thousandths
	Repeats Milli   // uncounted repeats of Unsure guesses, in thousandths
	Ring    []Entry // oldest first, at most RingSize; whoever changes it calls Recount
	Places  []Place // at most MaxPlaces

	// Distinct is how many members are in the ring. It is kept beside it, because
	// it is asked for at every look, and the ring changes seldom.
	Distinct int
}

// Event is one attempt as one subject sees it.
type Event struct {
	At       int64 // Unix milliseconds
	Entry    Entry
	Guess    uint64 // as Place.Guess
	Outcome  Outcome
	Secret   Secret
	Known    bool // the password was right before
	Familiar bool // the account has logged in from the client's network before
	Count    int  // attempts that the event stands for; below 1 is 1
}

// Reading is a subject as a judge sees it.
type Reading struct {
	Score     Milli // at the time of the operation
	InFlight  Milli // points of places
	Elsewhere Milli // of those, what is in flight on other hosts only (Subject.Level)
	Added     Milli // by this operation
	Distinct  int   // members in the ring: accounts tried, or clients that tried
	Repeats   int   // whole uncounted repeats
}

// Touch brings a subject to a time: lapsed places are counted, scores decay. A
// time before the subject's own changes nothing.
func (s *Subject) Touch(now int64, k Kind, r *Rules) {
	s.lapse(now, k, r)
	s.decay(now, r)
}

// Read returns the subject's reading, without Added.
func (s *Subject) Read() Reading {
	r := Reading{Score: s.Score, Distinct: s.Distinct, Repeats: int(s.Repeats / Point)}
	for i := range s.Places {
		p := &s.Places[i]
		r.InFlight += p.Points
		if p.Guess == Elsewhere {
			r.Elsewhere += p.Points
		}
	}
	return r
}

// Empty tells whether the subject says no more than its absence would.
func (s *Subject) Empty() bool {
	return s.Score == 0 && s.Repeats == 0 && len(s.Places) == 0
}

// Record settles the attempt's place, counts the attempt and returns what it
// added. Touch comes before. A success adds nothing and forgives; the caller
// forgives by calling Forgive, because what is forgiven is not the same for
// every kind of subject.
func (s *Subject) Record(k Kind, e Event, r *Rules) Milli {
	var met met
	if e.indistinct() {
		if met = s.meet(e.Entry); met.entry {
			return 0
		}
	}
	// Without a secret the ring tells only whether the same report came twice.
	// One that settles a place has not come before.
	fresh := s.settle(&e) && e.Secret == None
	if r.Tiers(k).Ceiling() == 0 {
		return 0
	}
	before := s.Score
	if e.Outcome == Trapped {
		s.trap(k, e, r)
		return s.Score - before
	}
	first := e.Entry
	for i := range min(max(e.Count, 1), RingSize) {
		// Attempts that one event stands for have no tokens: each is a new guess.
		e.Entry = MakeEntry(first.Member(), uint32(first)+uint32(i))
		s.count(k, &e, met, fresh, r)
		met.looked = false
	}
	return max(0, s.Score-before) // a reload may have lowered the ceiling
}

// indistinct tells of a failure that nothing tells from others. If it was recorded before,
// as when an answer was lost, settling once more would free the place of another. If that
// is only its short hash, its own place will lapse, and count then.
func (e *Event) indistinct() bool {
	return e.Secret == None && e.Guess == 0 && e.Count <= 1 && (e.Outcome == Failure || e.Outcome == UnknownAccount)
}

// met is what the ring holds of an entry, if it was looked for.
type met struct{ looked, entry, member bool }

func (s *Subject) meet(e Entry) met {
	entry, member := s.find(e)
	return met{true, entry, member}
}

// count adds one attempt. What the ring holds of it may be known already.
func (s *Subject) count(k Kind, e *Event, met met, fresh bool, r *Rules) {
	points, repeat := s.weigh(k, e, met, fresh, r)
	if points == 0 {
		if repeat && e.Secret == Unsure {
			s.repeat(e.At, r)
		}
		return
	}
	s.add(points, e.At, k, r)
	if !repeat {
		s.push(e.Entry)
	}
}

// weigh is what an attempt adds, and whether the same guess stands in the ring,
// which a fresh one does not, whatever its short hash says.
func (s *Subject) weigh(k Kind, e *Event, met met, fresh bool, r *Rules) (points Milli, repeat bool) {
	points = r.points(k, e.Outcome)
	if points == 0 || e.Known {
		return 0, false
	}
	if !met.looked {
		met = s.meet(e.Entry)
	}
	if met.entry && !fresh {
		if e.Secret == Unsure && s.Repeats+Point > Milli(r.FreeRepeats)*Point {
			return r.Failure, true
		}
		return 0, true
	}
	if k == Client && !met.member && len(s.Ring) > 0 {
		points += r.FurtherAccount
	}
	return points, false
}

// add adds points that were earned at a time. Points of a past time have
// decayed since; the subject's clock is never turned back.
func (s *Subject) add(points Milli, at int64, k Kind, r *Rules) {
	if s.Score == 0 && s.Repeats == 0 {
		s.At = max(s.At, at)
	}
	late := r.Steps(s.At - at)
	s.Score = min(s.Score+Decay(points, late), r.Tiers(k).Ceiling())
	s.Counted = min(s.Counted+Decay(Point, late), MaxScore)
}

// repeat counts a repeat that added nothing.
func (s *Subject) repeat(at int64, r *Rules) {
	s.Repeats = min(s.Repeats+Decay(Point, r.Steps(s.At-at)), Milli(r.FreeRepeats)*Point)
}

// trap takes the subject to its ban score.
func (s *Subject) trap(k Kind, e Event, r *Rules) {
	missing := r.Tiers(k).Ban - s.Score
	if k != Client || missing <= 0 {
		return
	}
	s.add(missing, e.At, k, r)
	if known, _ := s.find(e.Entry); !known {
		s.push(e.Entry)
	}
}

// Forgive takes from the score what a member owes: the score times the member's
// share of the guesses in the ring and of those that fell out of it, but no more
// than a failure's points for each guess that the ring shows, so that a costly
// guess at somebody else's account is not paid with a cheap one at one's own.
func (s *Subject) Forgive(member uint32, r *Rules) {
	all := max(s.Counted, Milli(len(s.Ring))*Point)
	n := Milli(s.pull(member)) * Point
	if n == 0 {
		return
	}
	if n >= all {
		s.Score, s.Counted = 0, 0
		return
	}
	s.Score -= min(s.Score*n/all, n/Point*r.Failure)
	s.Counted -= s.Counted * n / all
}

// SetBack takes a subject back to a clock that was set back, wall being the
// store's own present in Unix milliseconds, and tells whether it had to. A
// subject of the future would take every failure for one of long ago, and its
// places would not lapse.
func (s *Subject) SetBack(wall int64, r *Rules) bool {
	const slack = 1000
	changed := false
	if s.At > wall+slack {
		s.At, changed = wall, true
	}
	for i := range s.Places {
		if p := &s.Places[i]; p.Until > wall+r.PlaceLife+slack {
			p.Until, changed = wall+r.PlaceLife, true
		}
	}
	return changed
}

// Forget drops everything but the places in flight.
func (s *Subject) Forget() {
	s.Score, s.Counted, s.Repeats, s.Ring, s.Distinct = 0, 0, 0, s.Ring[:0], 0
}
