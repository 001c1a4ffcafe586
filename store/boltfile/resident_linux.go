package boltfile

import "golang.org/x/sys/unix"

// unmapPages has the kernel forget that a file's pages are in use here. It fails
// only where nothing is mapped, and then nothing is to be done.
func unmapPages(from, bytes uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, bytes, unix.MADV_DONTNEED)
}
