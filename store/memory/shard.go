package memory

import (
	"sync"

	"github.com/saslguard/saslguard/score"
)

// shards is how many parts the subjects are divided into, each with its own
// lock. A subject's key decides its shard by its upper bits.
const shards = 64

func shardOf(key uint64) int { return int(key >> 58) }

// shard keeps a part of the subjects. All of it belongs to whoever holds mu.
type shard struct {
	mu    sync.Mutex
	index map[uint64]uint32 // from a subject's key to its head
	heads slab
	cells slab

	// subject is the one being worked on, unpacked; owned is how many cells
	// (its head aside) it has. Both are kept here so that nothing is allocated.
	subject score.Subject
	owned   int

	dirty   []bool // records of heads that the file does not have
	rewrite bool   // the file holds records of an earlier run
	random  uint64 // state of the generator that picks whom to evict
	evicted uint64
	lost    uint64 // newcomers that found no room
}

func (s *shard) init(subjects int, seed uint64) {
	s.index = make(map[uint64]uint32)
	s.heads = newSlab(subjects)
	// Most subjects have one cell of ring; an offender with a full ring has nine.
	s.cells = newSlab(2*subjects + 256)
	s.subject.Ring = make([]score.Entry, 0, score.RingSize+1)
	s.subject.Places = make([]score.Place, 0, score.MaxPlaces+1)
	s.random = seed | 1
}

// load unpacks the subject of a key and returns the number of its head, 0 and
// an empty subject if there is none.
func (s *shard) load(key uint64) uint32 {
	slot := s.index[key]
	s.unpack(slot)
	return slot
}

func (s *shard) unpack(slot uint32) {
	sub := &s.subject
	*sub = score.Subject{Ring: sub.Ring[:0], Places: sub.Places[:0]}
	s.owned = 0
	if slot == 0 {
		return
	}
	h := head{s.heads.at(slot)}
	h.plain(sub)
	left := h.ringLen()
	for i := h.ring(); i != 0; {
		c := s.cells.at(i)
		n := min(left, ringPerCell)
		held := len(sub.Ring)
		sub.Ring = sub.Ring[:held+n] // init has made room for a full ring
		for j, e := range c[:n] {
			sub.Ring[held+j] = score.Entry(e)
		}
		left -= n
		i = c[7]
		s.owned++
	}
	for i := h.places(); i != 0; {
		c := s.cells.at(i)
		sub.Places = append(sub.Places, getPlace(c))
		i = c[7]
		s.owned++
	}
}

// save packs the subject that load unpacked. An empty one is dropped. It may
// find no room: a newcomer that is worth less than whoever would have to go is
// not kept, which save tells; a ring that found no room lost its oldest entries.
func (s *shard) save(slot uint32, key uint64, kind score.Kind, now int64, r *score.Rules) bool {
	if s.subject.Empty() {
		if slot != 0 {
			s.drop(slot)
		}
		return true
	}
	if slot == 0 {
		if slot = s.newHead(now, r); slot == 0 {
			s.lost++
			return false
		}
		s.index[key] = slot
	}
	s.makeRoom(slot, now, r)
	h := head{s.heads.at(slot)}
	was := h.lasting()
	h.setPlain(key, kind, &s.subject)
	s.giveChain(s.packPlaces(h, s.packRing(h, s.pool(h))))
	if was || h.lasting() {
		s.touch(slot)
	}
	return true
}

// pool joins a subject's ring and places into one chain, so that what one of
// them no longer needs serves the other.
func (s *shard) pool(h head) uint32 {
	if h.ring() == 0 {
		return h.places()
	}
	last := h.ring()
	for s.cells.at(last)[7] != 0 {
		last = s.cells.at(last)[7]
	}
	s.cells.at(last)[7] = h.places()
	return h.ring()
}

// packRing packs the ring into cells of the pool and returns the rest of it.
func (s *shard) packRing(h head, pool uint32) uint32 {
	ring := s.subject.Ring
	first, last := uint32(0), (*cell)(nil)
	for at := 0; at < len(ring); at += ringPerCell {
		var i uint32
		i, pool = s.nextCell(pool)
		c := s.cells.at(i)
		for j, e := range ring[at:min(at+ringPerCell, len(ring))] {
			c[j] = uint32(e)
		}
		first, last = s.link(first, last, i, c)
	}
	h.setRing(first, len(ring))
	return pool
}

// packPlaces packs the places likewise.
func (s *shard) packPlaces(h head, pool uint32) uint32 {
	first, last := uint32(0), (*cell)(nil)
	for k := range s.subject.Places {
		var i uint32
		i, pool = s.nextCell(pool)
		c := s.cells.at(i)
		setPlace(c, &s.subject.Places[k])
		first, last = s.link(first, last, i, c)
	}
	h.setPlaces(first)
	return pool
}

// nextCell takes the first cell of the pool, or a new one. makeRoom has seen to
// it that there is one.
func (s *shard) nextCell(pool uint32) (i, rest uint32) {
	if pool == 0 {
		return s.cells.take(), 0
	}
	return pool, s.cells.at(pool)[7]
}

// link appends a cell to the chain that ends with last.
func (s *shard) link(first uint32, last *cell, i uint32, c *cell) (uint32, *cell) {
	c[7] = 0
	if last == nil {
		return i, c
	}
	last[7] = i
	return first, c
}

func (s *shard) giveChain(i uint32) {
	for i != 0 {
		next := s.cells.at(i)[7]
		s.cells.give(i)
		i = next
	}
}

// drop forgets a subject.
func (s *shard) drop(slot uint32) {
	h := head{s.heads.at(slot)}
	s.giveChain(h.ring())
	s.giveChain(h.places())
	delete(s.index, h.key())
	if h.lasting() {
		s.touch(slot)
	}
	s.heads.give(slot)
}

// touch notes that the file no longer has a head as it is.
func (s *shard) touch(slot uint32) {
	record := int(slot / recordHeads)
	for len(s.dirty) <= record {
		s.dirty = append(s.dirty, false)
	}
	s.dirty[record] = true
}
