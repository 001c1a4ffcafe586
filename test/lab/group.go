package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// endWithin is how long killed processes may take to disappear.
const endWithin = 10 * time.Second

// end kills the whole process group and returns when nothing of it is left. It
// may be called again.
func (p *Process) end() error {
	p.ending.Lock()
	defer p.ending.Unlock()
	if p.ended {
		return nil
	}
	deadline := time.Now().Add(endWithin)
	for {
		// Again in each round: a process may have forked while the signal
		// went through the group.
		syscall.Kill(-p.PID(), syscall.SIGKILL)
		left := groupMembers(p.PID())
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: processes %v survived SIGKILL for %v", p.name, left, endWithin)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if p.watchdog != nil {
		p.watchdog.dismiss()
	}
	// The number of the group may now be given to others, so it is not killed
	// a second time.
	p.ended = true
	select {
	case <-p.drained:
		return nil
	case <-time.After(time.Until(deadline)):
		return fmt.Errorf("%s: its processes are gone, but somebody still holds its output", p.name)
	}
}

// groupMembers lists the living processes of a process group. Zombies do not
// count: whoever inherited them buries them in his own time, and kill(2)
// cannot tell them from the living.
func groupMembers(pgid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // ended while we looked
		}
		state, group, ok := parseStat(data)
		if !ok || group != pgid || state == 'Z' || state == 'X' {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseStat reads the state and the process group from /proc/PID/stat:
// "pid (command) state ppid pgrp …". The command may contain anything, so
// reading starts behind the last parenthesis.
func parseStat(data []byte) (state byte, pgid int, ok bool) {
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 3 {
		return 0, 0, false
	}
	pgid, err := strconv.Atoi(string(fields[2]))
	return fields[0][0], pgid, err == nil
}
