package memory

import "github.com/saslguard/saslguard/score"

// How a subject lies in cells:
//
//	head   0,1 key · 2,3 time (48 bits, ms) and repeats (16 bits, thousandths)
//	       4 score · 5 counted · 6 first ring cell (26 bits) and length (6 bits)
//	       7 first place cell (23 bits), members in the ring (6 bits), in use (1 bit), kind (2 bits)
//	ring   0..6 entries, oldest first · 7 next
//	place  0,1 guess · 2,3 until (48 bits, ms) and whether a lapse counts
//	       4 points · 5 entry · 7 next
const (
	ringPerCell = 7
	inUse       = 1 << 2
	maxTime     = 1<<48 - 1
	lapseCounts = 1 << 16 // in word 3 of a place
)

func put64(c *cell, i int, v uint64) { c[i], c[i+1] = uint32(v), uint32(v>>32) }

func get64(c *cell, i int) uint64 { return uint64(c[i]) | uint64(c[i+1])<<32 }

// head reads one cell as a subject's head.
type head struct{ *cell }

func (h head) used() bool         { return h.cell[7]&inUse != 0 }
func (h head) key() uint64        { return get64(h.cell, 0) }
func (h head) kind() score.Kind   { return score.Kind(h.cell[7] & 3) }
func (h head) at() int64          { return int64(get64(h.cell, 2) & maxTime) }
func (h head) score() score.Milli { return score.Milli(h.cell[4]) }

// lasting tells whether the file has the subject: places do not survive, so that
// a login that succeeds at once is never written.
func (h head) lasting() bool { return h.score() > 0 || h.cell[3]>>16 > 0 }

func (h head) ring() uint32   { return h.cell[6] >> 6 }
func (h head) ringLen() int   { return int(h.cell[6] & 63) }
func (h head) places() uint32 { return h.cell[7] >> 9 }

// setPlain writes all but the chains of cells.
func (h head) setPlain(key uint64, kind score.Kind, s *score.Subject) {
	put64(h.cell, 0, key)
	repeats := min(uint64(s.Repeats), 1<<16-1)
	put64(h.cell, 2, clampTime(s.At)|repeats<<48)
	h.cell[4], h.cell[5] = uint32(s.Score), uint32(s.Counted)
	h.cell[7] = h.cell[7]&^0x1ff | uint32(s.Distinct)<<3 | inUse | uint32(kind)
}

func (h head) setRing(first uint32, n int) { h.cell[6] = first<<6 | uint32(n) }
func (h head) setPlaces(first uint32)      { h.cell[7] = first<<9 | h.cell[7]&0x1ff }

// plain reads all but the chains of cells.
func (h head) plain(s *score.Subject) {
	s.At = h.at()
	s.Repeats = score.Milli(h.cell[3] >> 16)
	s.Score, s.Counted = score.Milli(h.cell[4]), score.Milli(h.cell[5])
	s.Distinct = int(h.cell[7] >> 3 & 63)
}

func setPlace(c *cell, p *score.Place) {
	put64(c, 0, p.Guess)
	put64(c, 2, clampTime(p.Until))
	if p.Counts {
		c[3] |= lapseCounts
	}
	c[4], c[5] = uint32(p.Points), uint32(p.Entry)
}

func getPlace(c *cell) score.Place {
	return score.Place{
		Guess: get64(c, 0), Until: placeUntil(c), Points: score.Milli(c[4]),
		Entry: score.Entry(c[5]), Counts: c[3]&lapseCounts != 0,
	}
}

func placeUntil(c *cell) int64 { return int64(get64(c, 2) & maxTime) }

// clampTime fits a time into its 48 bits, which end in the year 10889.
func clampTime(ms int64) uint64 { return uint64(min(max(ms, 0), maxTime)) }

// ringCell is what a cell holds of a ring.
type ringCell [ringPerCell]score.Entry

func (r *ringCell) unpack(c *cell) {
	r[0], r[1], r[2], r[3] = score.Entry(c[0]), score.Entry(c[1]), score.Entry(c[2]), score.Entry(c[3])
	r[4], r[5], r[6] = score.Entry(c[4]), score.Entry(c[5]), score.Entry(c[6])
}

func (r *ringCell) pack(c *cell) {
	c[0], c[1], c[2], c[3] = uint32(r[0]), uint32(r[1]), uint32(r[2]), uint32(r[3])
	c[4], c[5], c[6] = uint32(r[4]), uint32(r[5]), uint32(r[6])
}

// ringCells is how many cells a ring of n entries takes.
func ringCells(n int) int { return (n + ringPerCell - 1) / ringPerCell }
