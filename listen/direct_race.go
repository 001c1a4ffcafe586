//go:build linux && race

package listen

import "syscall"

const directly = true

// The race detector has to see what goes over a socket: to it, who reads has what who
// wrote has done before. It sees it in the calls of package syscall.

func receiveNow(fd uintptr, b []byte) (int, syscall.Errno) { return done(syscall.Read(int(fd), b)) }

func sendNow(fd uintptr, b []byte) (int, syscall.Errno) { return done(syscall.Write(int(fd), b)) }

func done(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno)
	return n, errno
}
