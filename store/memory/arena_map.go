//go:build unix

package memory

import "golang.org/x/sys/unix"

// mapBlock asks the system for zeros. What is not touched takes no memory.
func mapBlock(bytes int) ([]byte, error) {
	return unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

// unmapBlock gives a block back. It fails only for what is none.
func unmapBlock(block []byte) { _ = unix.Munmap(block) }
