package memory

import (
	"runtime"
	"sync"
	"unsafe"
)

const (
	// chunkCells is how many cells a slab takes at once. A power of two.
	chunkCells = 256
	// blockBytes is how much the arena asks the system for.
	blockBytes = 4 << 20
)

// chunk is what a slab grows by.
type chunk = [chunkCells]cell

// arena is the memory of all slabs. It lies outside Go's heap, where the system
// maps memory: cells hold no pointer and are never given back, so that the garbage
// collector would only take the room for a part of them once more.
//
// Blocks are unmapped when nobody has the arena any more. A slab has it, and cells
// are looked at under the lock of their shard only, which has its slabs: so long as
// somebody holds that lock, the cells are there.
type arena struct {
	outside bool // of Go's heap, where that can be
	mu      sync.Mutex
	rest    []byte // of the latest block
	blocks  *blocks
}

// blocks are what was mapped.
type blocks struct{ list [][]byte }

func newArena() *arena {
	// The race detector does not see what lies outside the heap.
	a := &arena{outside: !raceDetector, blocks: new(blocks)}
	runtime.AddCleanup(a, (*blocks).unmap, a.blocks)
	return a
}

// chunk returns new cells of zeros.
func (a *arena) chunk() *chunk {
	const size = int(unsafe.Sizeof(chunk{}))
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < size && a.outside {
		block, err := mapBlock(blockBytes)
		if err != nil { // no more of it than the system allows: there is the heap
			a.outside = false
		} else {
			a.rest = block
			a.blocks.list = append(a.blocks.list, block)
		}
	}
	if len(a.rest) < size {
		return new(chunk)
	}
	// A block begins with a page, and a chunk is a part of one that is as even.
	c := (*chunk)(unsafe.Pointer(unsafe.SliceData(a.rest)))
	a.rest = a.rest[size:]
	return c
}

func (b *blocks) unmap() {
	for _, block := range b.list {
		unmapBlock(block)
	}
}
