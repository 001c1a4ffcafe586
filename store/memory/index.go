package memory

// index finds a subject's head by its key. An entry is the number of the head and
// some bits of the key; the key itself stands in the head, which whoever looks it up
// needs anyway. That takes four bytes, eight at most with what is empty, where a map
// takes some twenty-five.
//
// Keys are a keyed hash, so that nobody can choose what falls together. The bits:
//
//	63..58 shard · 57..52 part · 51..41 tag · from 0 on the place in the part
//
// A part grows by itself: to put some hundred entries anew takes no time that a
// question would feel.
type index struct {
	parts [indexParts]indexPart
	live  int
}

const (
	indexParts = 64
	leastPart  = 8 // entries that a part begins with
	slotBits   = 21
	slotMask   = 1<<slotBits - 1 // the heads of a shard are no more: Config.Subjects
)

// indexPart is a table with linear probing.
type indexPart struct {
	table []uint32 // entries, 0 where there is none; a power of two, or none
	live  int
}

func (x *index) part(key uint64) *indexPart { return &x.parts[key>>52%indexParts] }

// tagOf is the part of an entry that says of most other keys that it is not theirs.
func tagOf(key uint64) uint32 { return uint32(key>>41) << slotBits }

// find returns the number of the head with a key, 0 if there is none.
func (x *index) find(key uint64, heads *slab) uint32 {
	table := x.part(key).table
	if len(table) == 0 {
		return 0
	}
	tag, mask := tagOf(key), uint32(len(table)-1)
	for i := uint32(key) & mask; ; i = (i + 1) & mask {
		e := table[i]
		if e == 0 {
			return 0
		}
		if slot := e & slotMask; e^slot == tag && (head{heads.at(slot)}).key() == key {
			return slot
		}
	}
}

// add adds a head under a key that has none, and writes the key into it.
func (x *index) add(key uint64, slot uint32, heads *slab) {
	put64(heads.at(slot), 0, key)
	p := x.part(key)
	if 4*(p.live+1) > 3*len(p.table) {
		p.grow(heads)
	}
	p.put(key, tagOf(key)|slot)
	p.live++
	x.live++
}

func (p *indexPart) put(key uint64, e uint32) {
	mask := uint32(len(p.table) - 1)
	i := uint32(key) & mask
	for p.table[i] != 0 {
		i = (i + 1) & mask
	}
	p.table[i] = e
}

// grow doubles the table.
func (p *indexPart) grow(heads *slab) {
	old := p.table
	p.table = make([]uint32, max(2*len(old), leastPart))
	for _, e := range old {
		if e != 0 {
			p.put(head{heads.at(e & slotMask)}.key(), e)
		}
	}
}

// remove removes a head, which still has its key. Those behind it move up that would
// not be found over the gap.
func (x *index) remove(slot uint32, heads *slab) {
	key := head{heads.at(slot)}.key()
	p := x.part(key)
	mask := uint32(len(p.table) - 1)
	gap := uint32(key) & mask
	for p.table[gap] != tagOf(key)|slot {
		gap = (gap + 1) & mask
	}
	p.table[gap] = 0
	p.live--
	x.live--
	for i := (gap + 1) & mask; p.table[i] != 0; i = (i + 1) & mask {
		e := p.table[i]
		home := uint32(head{heads.at(e & slotMask)}.key()) & mask
		if (i-home)&mask >= (i-gap)&mask {
			p.table[gap], p.table[i] = e, 0
			gap = i
		}
	}
}
