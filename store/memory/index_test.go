package memory

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// slots ranges over the heads of an index, which may be removed meanwhile.
func (x *index) slots() iter.Seq[uint32] {
	var all []uint32
	for i := range x.parts {
		for _, e := range x.parts[i].table {
			if e != 0 {
				all = append(all, e&slotMask)
			}
		}
	}
	return func(yield func(uint32) bool) {
		for _, slot := range all {
			if !yield(slot) {
				return
			}
		}
	}
}

// An index and a map take the same random steps and agree at each, also where keys
// have the same place, the same tag, or both.
func TestIndexAgreesWithAMap(t *testing.T) {
	for _, c := range []struct {
		name string
		key  func(r *rand.Rand) uint64
	}{
		{"a few", func(r *rand.Rand) uint64 { return r.Uint64N(20) }},
		{"one place", func(r *rand.Rand) uint64 { return r.Uint64N(200) << 41 }},
		{"places that follow each other around the end", func(r *rand.Rand) uint64 { return ^uint64(0) + r.Uint64N(6) - r.Uint64N(6) + r.Uint64N(3)<<41 }},
		{"one part", func(r *rand.Rand) uint64 { return r.Uint64N(5000) }},
		{"all", func(r *rand.Rand) uint64 { return r.Uint64N(20_000) * 0x9E3779B97F4A7C15 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var x index
			heads := newSlab(newArena(), 100_000)
			want := map[uint64]uint32{}
			check := func(key uint64) {
				t.Helper()
				if got := x.find(key, &heads); got != want[key] {
					t.Fatalf("%x is found at %d, not %d", key, got, want[key])
				}
			}
			for range 50_000 {
				key := c.key(r)
				check(key)
				if slot := want[key]; slot == 0 {
					slot = heads.take()
					x.add(key, slot, &heads)
					want[key] = slot
				} else if r.IntN(3) > 0 {
					x.remove(slot, &heads)
					heads.give(slot)
					delete(want, key)
				}
				check(key)
				if x.live != len(want) {
					t.Fatalf("there are %d, not %d", x.live, len(want))
				}
			}
			for key := range want {
				check(key)
			}
			n := 0
			for slot := range x.slots() {
				x.remove(slot, &heads)
				n++
			}
			if x.live != 0 || n != len(want) {
				t.Errorf("%d of %d are removed, and %d left", n, len(want), x.live)
			}
		})
	}
}

// The arena gives zeros that nobody else has, from the system and from the heap.
func TestArena(t *testing.T) {
	for _, outside := range []bool{true, false} {
		a := newArena()
		a.outside = outside
		s := newSlab(a, 3*blockBytes/32)
		for s.take() != 0 {
		}
		if want := 3 * blockBytes / 32; s.live() != want {
			t.Fatalf("%d cells, not %d", s.live(), want)
		}
		if n := len(a.blocks.list); outside && a.outside && n != 4 || !outside && n != 0 {
			t.Errorf("%d blocks are mapped", n)
		}
		for i := uint32(1); i < s.used; i++ {
			if c := s.at(i); *c != (cell{}) {
				t.Fatalf("cell %d holds %v", i, *c)
			}
			*s.at(i) = cell{i, 7: ^i}
		}
		for i := uint32(1); i < s.used; i++ {
			if c := s.at(i); c[0] != i || c[7] != ^i {
				t.Fatalf("cell %d holds %v", i, *c)
			}
		}
		runtime.KeepAlive(a)
	}
}

// What was mapped is unmapped once nobody has it.
func TestArenaIsUnmapped(t *testing.T) {
	a := newArena()
	a.outside = true
	at := uintptr(unsafe.Pointer(a.chunk()))
	if !mapped(t, at) {
		t.Fatal("the memory of an arena is not mapped")
	}
	runtime.KeepAlive(a)
	a = nil
	for end := time.Now().Add(30 * time.Second); mapped(t, at); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an arena that nobody has is still mapped")
		}
		runtime.GC()
	}
}

// mapped tells whether an address of this process is.
func mapped(t *testing.T, at uintptr) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		if from <= at && at < to {
			return true
		}
	}
	return false
}
