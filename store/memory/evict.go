package memory

import "github.com/saslguard/saslguard/score"

// evictSamples is how many subjects are looked at to find one that may go. A
// flood replaces the flood: that all eight of a sample are hot offenders is as
// likely as that they fill the shard, and then the newcomer loses.
const evictSamples = 8

// newHead takes a head for an unpacked subject, evicting another if it must.
// It returns 0 where everybody looked at is worth more.
func (s *shard) newHead(u *unpacked, now int64, r *score.Rules) uint32 {
	if slot := s.heads.take(); slot != 0 {
		return slot
	}
	if !s.evict(u, 0, now, r) {
		return 0
	}
	return s.heads.take()
}

// makeRoom sees to it that an unpacked subject finds cells for its ring and
// its places, by evicting others or, where they are worth more, by shortening
// the ring, and at last the places.
func (s *shard) makeRoom(u *unpacked, slot uint32, now int64, r *score.Rules) {
	for range evictSamples {
		if s.missing(u) <= 0 || !s.evict(u, slot, now, r) {
			break
		}
	}
	for s.missing(u) > 0 && len(u.Ring) > 0 {
		drop := min(ringPerCell, len(u.Ring))
		u.Ring = u.Ring[:copy(u.Ring, u.Ring[drop:])]
		u.Recount()
	}
	if over := s.missing(u); over > 0 {
		u.Places = u.Places[:max(len(u.Places)-over, 0)]
	}
}

// missing is how many cells an unpacked subject lacks.
func (s *shard) missing(u *unpacked) int {
	need := ringCells(len(u.Ring)) + len(u.Places)
	return need - u.owned - s.cells.room()
}

// evict drops the least valuable of a few subjects, unless all of them are
// worth more than the unpacked one. A place in flight protects its subject, or
// a flood of new addresses would free the guesses of others.
func (s *shard) evict(u *unpacked, except uint32, now int64, r *score.Rules) bool {
	worth, oldest := u.Score, now
	for i := range u.Places {
		worth += u.Places[i].Points
	}
	victim := uint32(0)
	for range evictSamples {
		slot := 1 + uint32(s.roll()%uint64(s.heads.used-1))
		h := head{s.heads.at(slot)}
		if slot == except || !h.used() || s.inFlight(h, now) {
			continue
		}
		value, at := score.Decay(h.score(), r.Steps(now-h.at())), h.at()
		if value < worth || value == worth && at <= oldest {
			victim, worth, oldest = slot, value, at
		}
	}
	if victim == 0 {
		return false
	}
	s.drop(victim)
	s.evicted++
	return true
}

// inFlight tells whether one of the subject's places has not lapsed.
func (s *shard) inFlight(h head, now int64) bool {
	for i := h.places(); i != 0; i = s.cells.at(i)[7] {
		if placeUntil(s.cells.at(i)) > now {
			return true
		}
	}
	return false
}

// roll returns the next number of a xorshift generator. It only has to be
// cheap and even: whoever can steer evictions must still outscore the others.
func (s *shard) roll() uint64 {
	s.random ^= s.random << 13
	s.random ^= s.random >> 7
	s.random ^= s.random << 17
	return s.random
}
