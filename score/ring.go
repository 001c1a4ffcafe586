package score

// RingSize is how many of its latest distinct guesses a subject remembers.
const RingSize = 63

// The bits of a ring entry. Short hashes keep a subject small; what a collision
// costs is one guess that goes uncounted.
const (
	memberBits = 20
	tokenBits  = 12
)

// Entry is one guess in a subject's ring: 20 bits of a hash of the member (in a
// client's ring the account, in an account's, a network's and a pair's ring the
// client) and 12 bits of a hash of what was guessed.
type Entry uint32

// MakeEntry packs the low 20 bits of member and the low 12 bits of token.
func MakeEntry(member, token uint32) Entry {
	return Entry(member<<tokenBits | token&(1<<tokenBits-1))
}

// Member returns the entry's 20 bits of member.
func (e Entry) Member() uint32 { return uint32(e) >> tokenBits }

// find tells whether the ring holds the entry, and any entry of its member.
func (s *Subject) find(e Entry) (entry, member bool) {
	for _, x := range s.Ring {
		if x ^= e; x < 1<<tokenBits { // the member's
			if x == 0 {
				return true, true
			}
			member = true
		}
	}
	return false, member
}

// push adds an entry as the newest and drops the oldest of a full ring.
func (s *Subject) push(e Entry) {
	for len(s.Ring) >= RingSize {
		s.dropOldest()
	}
	if !has(s.Ring, e.Member()) {
		s.Distinct++
	}
	s.Ring = append(s.Ring, e)
}

// has tells whether a member has one of the entries. Who guesses at the same account
// again and again has it among the latest.
func has(ring []Entry, member uint32) bool {
	like := Entry(member << tokenBits)
	for i := len(ring) - 1; i >= 0; i-- {
		if ring[i]^like < 1<<tokenBits {
			return true
		}
	}
	return false
}

// dropOldest drops the oldest entry.
func (s *Subject) dropOldest() {
	if !has(s.Ring[1:], s.Ring[0].Member()) {
		s.Distinct--
	}
	s.Ring = s.Ring[:copy(s.Ring, s.Ring[1:])]
}

// pull removes a member's entries and returns how many they were.
func (s *Subject) pull(member uint32) int {
	kept := s.Ring[:0]
	for _, x := range s.Ring {
		if x.Member() != member {
			kept = append(kept, x)
		}
	}
	n := len(s.Ring) - len(kept)
	if n > 0 {
		s.Distinct--
	}
	s.Ring = kept
	return n
}

// Recount counts the members in the ring anew, after a change that is not this
// package's.
func (s *Subject) Recount() { s.Distinct = s.distinct() }

// distinct is the number of different members in the ring, found in one pass: they
// are put into a table of twice as many slots, each at the first free one from where
// its number leads.
func (s *Subject) distinct() int {
	const slots = 2 * (RingSize + 1)
	var table [slots]uint32 // a member plus one; 0 is free
	n := 0
next:
	for _, x := range s.Ring {
		member := x.Member() + 1
		slot := member * 2654435761 >> 25 // Knuth's multiplicative hashing: the upper 7 bits
		for ; table[slot] != 0; slot = (slot + 1) % slots {
			if table[slot] == member {
				continue next
			}
		}
		table[slot] = member
		n++
	}
	return n
}
