package memory

import "github.com/saslguard/saslguard/score"

// deed is what is done to one subject.
type deed uint8

const (
	look    deed = iota // reads
	reserve             // takes a place if there is room
	settle              // frees a place, counts nothing
	record              // frees a place and counts; a success forgives
	level               // brings it to what is known elsewhere
)

// visit is one deed to one subject.
type visit struct {
	deed   deed
	kind   score.Kind
	key    uint64
	event  score.Event
	wall   int64 // the store's own present in Unix milliseconds; the event may be older
	counts bool  // reserve: a lapse counts
	rules  *score.Rules

	known, before *score.Reading // level
	lower         bool           // level: the score too
}

// sight is what came of a visit.
type sight struct {
	reading score.Reading
	before  score.Milli // the score before the deed
	fits    bool        // reserve: the attempt may go on
	full    bool        // reserve: the places left no room, not the score
	taken   bool        // reserve: a place was taken
	changed bool        // the subject is no longer what is kept of it
}

// needs tells whether there must be a subject for a deed to be done to it. The
// others make one.
func (d deed) needs() bool { return d == look || d == settle }

// do carries out a visit. A subject is written back where a place was taken or
// freed, when it is recorded, and when the clock was set back. Reading alone
// moves no clock, so that scores do not depend on how often somebody looks.
func (s *shard) do(v *visit) (out sight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.index.find(v.key, &s.heads)
	if slot == 0 && v.deed.needs() {
		return sight{}
	}
	u := &s.desk
	if v.deed == look {
		if s.glance(u, v, slot, &out) {
			return out
		}
	}
	s.unpack(u, slot)
	changed := u.arrive(v)
	u.act(v, &out)
	if changed || out.changed {
		out.taken = s.save(u, slot, v.key, v.kind, v.event.At, v.rules) && out.taken
	}
	return out
}

// glance looks at a subject without unpacking its ring, which says no more than
// the number of its members where nothing is counted. It cannot where a place has
// lapsed that counts, or the clock was set back.
func (s *shard) glance(u *unpacked, v *visit, slot uint32, out *sight) bool {
	h := head{s.heads.at(slot)}
	u.Subject = score.Subject{Ring: u.Ring[:0], Places: u.Places[:0]}
	h.plain(&u.Subject)
	s.unpackPlaces(u, h)
	for i := range u.Places {
		if p := &u.Places[i]; p.Counts && p.Until <= v.event.At {
			return false
		}
	}
	if u.arrive(v) {
		return false
	}
	u.act(v, out)
	return true
}

// arrive brings a subject to the time of a visit, and tells whether the clock was
// set back.
func (u *unpacked) arrive(v *visit) (setBack bool) {
	setBack = u.SetBack(v.wall, v.rules)
	u.Touch(v.event.At, v.kind, v.rules)
	return setBack
}

// act does the deed to a subject that has arrived.
func (u *unpacked) act(v *visit, out *sight) {
	*out = sight{before: u.Score}
	var added score.Milli
	switch v.deed {
	case reserve:
		out.fits, out.taken = u.Reserve(v.kind, v.event, v.counts, v.rules)
		out.full = !out.fits && !v.rules.Refuses(v.kind, u.Score)
		out.changed = out.taken
	case settle:
		out.changed = u.Settle(v.event)
	case record:
		added = u.Record(v.kind, v.event, v.rules)
		if v.event.Outcome == score.Success && v.kind != score.Network {
			u.Forgive(v.event.Entry.Member(), v.rules)
		}
		out.changed = true
	case level:
		out.changed = u.Level(v.known, v.before, v.lower, v.event.At, v.rules)
	}
	out.reading = u.Read()
	out.reading.Added = added
}

// forget drops what is known of a subject but its places in flight.
func (s *shard) forget(key uint64, kind score.Kind, now int64, r *score.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.load(&s.desk, key); slot != 0 {
		s.desk.Forget()
		s.save(&s.desk, slot, key, kind, now, r)
	}
}

// freeRing frees a subject's ring and keeps its score.
func (s *shard) freeRing(key uint64, kind score.Kind, now int64, r *score.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.load(&s.desk, key); slot != 0 {
		s.desk.Ring = s.desk.Ring[:0]
		s.desk.Recount()
		s.save(&s.desk, slot, key, kind, now, r)
	}
}

// sweep frees the subjects among a range of heads that have decayed to nothing,
// and returns the first head after the range, 0 after the last. A clock that was
// set back reaches those here that nobody visits: a place in flight protects its
// subject against eviction, and must not do so for a day.
//
// The clock is asked under the lock: whoever was here before has come by a time that
// is not after it. By an older one, a subject that was visited meanwhile would look as
// if the clock had been set back, in a replay by hours.
func (s *shard) sweep(from, n uint32, clock func() int64, r *score.Rules) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := clock()
	end := min(from+n, s.heads.used)
	for slot := max(from, 1); slot < end; slot++ {
		h := head{s.heads.at(slot)}
		if !h.used() || score.Decay(h.score(), r.Steps(now-h.at())) > 0 && h.at() <= now && h.places() == 0 {
			continue
		}
		s.unpack(&s.desk, slot)
		if s.desk.SetBack(now, r) {
			s.save(&s.desk, slot, h.key(), h.kind(), now, r)
			continue
		}
		s.desk.Touch(now, h.kind(), r)
		if s.desk.Empty() {
			s.drop(slot)
		}
	}
	if end == s.heads.used {
		return 0
	}
	return end
}
