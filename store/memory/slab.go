package memory

// cell is the unit in which subjects are kept: a subject's head, seven entries
// of its ring, or one of its places. It holds no pointer.
type cell [8]uint32

// slab hands out cells by number. It grows by chunks and copies nothing. Number
// 0 is never handed out and means none.
type slab struct {
	arena  *arena
	chunks []*chunk
	used   uint32 // cells that were ever handed out, and cell 0
	free   uint32 // the first returned cell; each holds the next in word 0
	spare  uint32 // how many were returned
	limit  uint32 // used never exceeds it
}

func newSlab(a *arena, cells int) slab { return slab{arena: a, used: 1, limit: uint32(cells) + 1} }

func (s *slab) at(i uint32) *cell { return &s.chunks[i/chunkCells][i%chunkCells] }

// live is how many cells are handed out.
func (s *slab) live() int { return int(s.used - 1 - s.spare) }

// room is how many more cells can be handed out.
func (s *slab) room() int { return int(s.limit - s.used + s.spare) }

// take hands out a cell of zeros, or 0 when the slab is full.
func (s *slab) take() uint32 {
	if i := s.free; i != 0 {
		c := s.at(i)
		s.free = c[0]
		s.spare--
		*c = cell{}
		return i
	}
	if s.used >= s.limit {
		return 0
	}
	if int(s.used/chunkCells) == len(s.chunks) {
		s.chunks = append(s.chunks, s.arena.chunk())
	}
	s.used++
	return s.used - 1
}

// give takes a cell back.
func (s *slab) give(i uint32) {
	*s.at(i) = cell{s.free}
	s.free = i
	s.spare++
}
