package memory

import "github.com/saslguard/saslguard/score"

// deed is what is done to one subject.
type deed uint8

const (
	look     deed = iota // reads
	reserve              // takes a place if there is room
	giveBack             // undoes a reserve
	settle               // frees a place, counts nothing
	record               // frees a place and counts; a success forgives
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
}

// sight is what came of a visit.
type sight struct {
	reading score.Reading
	before  score.Milli // the score before the deed
	fits    bool        // reserve: the attempt may go on
	full    bool        // reserve: the places left no room, not the score
	taken   bool        // reserve: a place was taken
}

// do carries out a visit. A subject is written back where a place was taken or
// freed, when it is recorded, and when the clock was set back. Reading alone
// moves no clock, so that scores do not depend on how often somebody looks.
func (s *shard) do(v *visit) sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.load(v.key)
	if slot == 0 && v.deed != reserve && v.deed != record {
		return sight{}
	}
	sub := &s.subject
	changed := sub.SetBack(v.wall, v.rules)
	sub.Touch(v.event.At, v.kind, v.rules)
	var out sight
	out.before = sub.Score
	var added score.Milli
	switch v.deed {
	case reserve:
		out.fits, out.taken = sub.Reserve(v.kind, v.event, v.counts, v.rules)
		out.full = !out.fits && !v.rules.Refuses(v.kind, sub.Score)
		changed = out.taken || changed
	case giveBack:
		changed = s.giveBack(&v.event) || changed
	case settle:
		changed = sub.Settle(v.event) || changed
	case record:
		added = sub.Record(v.kind, v.event, v.rules)
		if v.event.Outcome == score.Success && v.kind != score.Network {
			sub.Forgive(v.event.Entry.Member(), v.rules)
		}
		changed = true
	}
	if changed {
		out.taken = s.save(slot, v.key, v.kind, v.event.At, v.rules) && out.taken
	}
	out.reading = sub.Read()
	out.reading.Added = added
	return out
}

// giveBack removes the newest place of exactly this attempt.
func (s *shard) giveBack(e *score.Event) bool {
	places := s.subject.Places
	for i := len(places) - 1; i >= 0; i-- {
		if places[i].Guess == e.Guess && places[i].Entry == e.Entry {
			s.subject.Places = append(places[:i], places[i+1:]...)
			return true
		}
	}
	return false
}

// forget drops what is known of a subject but its places in flight.
func (s *shard) forget(key uint64, kind score.Kind, now int64, r *score.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.load(key); slot != 0 {
		s.subject.Forget()
		s.save(slot, key, kind, now, r)
	}
}

// freeRing frees a subject's ring and keeps its score.
func (s *shard) freeRing(key uint64, kind score.Kind, now int64, r *score.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.load(key); slot != 0 {
		s.subject.Ring = s.subject.Ring[:0]
		s.save(slot, key, kind, now, r)
	}
}

// sweep frees the subjects among a range of heads that have decayed to nothing,
// and returns the first head after the range, 0 after the last. A clock that was
// set back reaches those here that nobody visits: a place in flight protects its
// subject against eviction, and must not do so for a day.
func (s *shard) sweep(from, n uint32, now int64, r *score.Rules) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := min(from+n, s.heads.used)
	for slot := max(from, 1); slot < end; slot++ {
		h := head{s.heads.at(slot)}
		if !h.used() || score.Decay(h.score(), r.Steps(now-h.at())) > 0 && h.at() <= now && h.places() == 0 {
			continue
		}
		s.unpack(slot)
		if s.subject.SetBack(now, r) {
			s.save(slot, h.key(), h.kind(), now, r)
			continue
		}
		s.subject.Touch(now, h.kind(), r)
		if s.subject.Empty() {
			s.drop(slot)
		}
	}
	if end == s.heads.used {
		return 0
	}
	return end
}
