//go:build !linux

package boltfile

// unmapPages leaves it to the system.
func unmapPages(_, _ uintptr) {}
