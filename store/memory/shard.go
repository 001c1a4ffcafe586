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
	index index
	heads slab
	cells slab

	// desk is for the one subject that most operations work on at a time.
	desk unpacked

	dirty   []bool // records of heads that the file does not have
	rewrite bool   // the file holds records of an earlier run
	random  uint64 // state of the generator that picks whom to evict
	evicted uint64
	lost    uint64 // newcomers that found no room
}

// unpacked is a subject that is being worked on. It has room for as much as one may
// have, so that nothing is allocated.
type unpacked struct {
	score.Subject
	owned int // how many cells it has, its head aside
}

func (u *unpacked) init() {
	u.Ring = make([]score.Entry, 0, score.RingSize+1)
	u.Places = make([]score.Place, 0, score.MaxPlaces+1)
}

func (s *shard) init(a *arena, subjects int, seed uint64) {
	s.index = index{}
	s.heads = newSlab(a, subjects)
	// Most subjects have one cell of ring; an offender with a full ring has nine.
	s.cells = newSlab(a, 2*subjects+256)
	s.desk.init()
	s.random = seed | 1
}

// load unpacks the subject of a key and returns the number of its head, 0 and
// an empty subject if there is none.
func (s *shard) load(u *unpacked, key uint64) uint32 {
	slot := s.index.find(key, &s.heads)
	s.unpack(u, slot)
	return slot
}

func (s *shard) unpack(u *unpacked, slot uint32) {
	u.Subject = score.Subject{Ring: u.Ring[:0], Places: u.Places[:0]}
	u.owned = 0
	if slot == 0 {
		return
	}
	h := head{s.heads.at(slot)}
	h.plain(&u.Subject)
	s.unpackRing(u, h)
	s.unpackPlaces(u, h)
}

// unpackRing copies whole cells: what is behind the ring's end has room there, and means
// nothing.
func (s *shard) unpackRing(u *unpacked, h head) {
	u.Ring = u.Ring[:h.ringLen()]
	to := u.Ring[:cap(u.Ring)] // init has made room for a full ring
	for i := h.ring(); i != 0; to = to[ringPerCell:] {
		c := s.cells.at(i)
		(*ringCell)(to).unpack(c)
		i = c[7]
		u.owned++
	}
}

func (s *shard) unpackPlaces(u *unpacked, h head) {
	for i := h.places(); i != 0; {
		c := s.cells.at(i)
		u.Places = append(u.Places, getPlace(c))
		i = c[7]
		u.owned++
	}
}

// save packs a subject that load unpacked. An empty one is dropped. It may
// find no room: a newcomer that is worth less than whoever would have to go is
// not kept, which save tells; a ring that found no room lost its oldest entries.
func (s *shard) save(u *unpacked, slot uint32, key uint64, kind score.Kind, now int64, r *score.Rules) bool {
	if u.Empty() {
		if slot != 0 {
			s.drop(slot)
		}
		return true
	}
	if slot == 0 {
		if slot = s.newHead(u, now, r); slot == 0 {
			s.lost++
			return false
		}
		s.index.add(key, slot, &s.heads)
	}
	h := head{s.heads.at(slot)}
	was := h.lasting()
	if s.fits(u, h) {
		h.setPlain(key, kind, &u.Subject)
		s.packInPlace(u, h)
	} else {
		s.makeRoom(u, slot, now, r)
		h.setPlain(key, kind, &u.Subject)
		s.giveChain(s.packPlaces(u, h, s.packRing(u, h, s.pool(h))))
	}
	if was || h.lasting() {
		s.touch(slot)
	}
	return true
}

// fits tells whether a subject needs the cells that it has, all of them its ring's.
func (s *shard) fits(u *unpacked, h head) bool {
	return h.places() == 0 && len(u.Places) == 0 && ringCells(len(u.Ring)) == ringCells(h.ringLen())
}

// packInPlace packs a ring into the cells that it has.
func (s *shard) packInPlace(u *unpacked, h head) {
	ring := u.Ring[:cap(u.Ring)]
	for i := h.ring(); i != 0; ring = ring[ringPerCell:] {
		c := s.cells.at(i)
		(*ringCell)(ring).pack(c)
		i = c[7]
	}
	h.setRing(h.ring(), len(u.Ring))
}

// pool joins a subject's ring and places into one chain, so that what one of
// them no longer needs serves the other.
func (s *shard) pool(h head) uint32 {
	switch {
	case h.ring() == 0:
		return h.places()
	case h.places() == 0:
		return h.ring()
	}
	last := h.ring()
	for s.cells.at(last)[7] != 0 {
		last = s.cells.at(last)[7]
	}
	s.cells.at(last)[7] = h.places()
	return h.ring()
}

// packRing packs the ring into cells of the pool and returns the rest of it.
func (s *shard) packRing(u *unpacked, h head, pool uint32) uint32 {
	ring := u.Ring[:cap(u.Ring)]
	first, last := uint32(0), (*cell)(nil)
	for at := 0; at < len(u.Ring); at += ringPerCell {
		var i uint32
		i, pool = s.nextCell(pool)
		c := s.cells.at(i)
		(*ringCell)(ring[at:]).pack(c)
		first, last = s.link(first, last, i, c)
	}
	h.setRing(first, len(u.Ring))
	return pool
}

// packPlaces packs the places likewise.
func (s *shard) packPlaces(u *unpacked, h head, pool uint32) uint32 {
	first, last := uint32(0), (*cell)(nil)
	for k := range u.Places {
		var i uint32
		i, pool = s.nextCell(pool)
		c := s.cells.at(i)
		setPlace(c, &u.Places[k])
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
	s.index.remove(slot, &s.heads)
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
