package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watchdog kills a process group when the test binary dies without cleaning
// up, as it does in a panic or a timeout. It is a shell that reads from a pipe
// whose other end only we hold, so the kernel wakes it. A parent death signal
// would not do: the kernel forgets it when a process changes its user for a
// moment, and Postfix's master does.
type watchdog struct {
	cmd  *exec.Cmd
	hold *os.File
}

func startWatchdog(pgid int) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", `read -r _; kill -s KILL -- "-$1"`, "lab-watchdog", strconv.Itoa(pgid))
	cmd.Stdin = r
	// A session of its own: what interrupts the test in a terminal must not
	// end the watchdog.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the watchdog: %w", err), w.Close())
	}
	return &watchdog{cmd, w}, nil
}

// dismiss ends the watchdog, before its group's number can be given to others.
func (w *watchdog) dismiss() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
	w.hold.Close()
}
