package main

import (
	"fmt"
	"io"
	"syscall"
	"time"
)

// writeCost says what reading a log took. The memory is the most that the process
// has had resident, its own code included.
func writeCost(w io.Writer, lines int, took time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintf(w, "%d lines in %.2f s; what else it took is not known: %v\n", lines, took.Seconds(), err)
		return
	}
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	fmt.Fprintf(w, "%d lines in %.2f s, %.2f s of processor time, at most %d MB of memory\n", lines, took.Seconds(), cpu.Seconds(), u.Maxrss>>10)
}
