//go:build !linux

package listen

import "syscall"

const directly = false

func receiveNow(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }

func sendNow(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }
