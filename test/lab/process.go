package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program and what it has said. Its methods may be called
// from any goroutine.
type Process struct {
	name    string
	cmd     *exec.Cmd
	out     *lines
	exited  chan struct{} // the program itself is gone
	drained chan struct{} // and nobody writes to its output any more

	watchdog *watchdog
	ending   sync.Mutex // held by end
	ended    bool       // nothing of the group is left
}

// StartProcess runs bin with args until the test ends, then kills it and all
// its children. env ("NAME=value") is added to the test's own environment. Its
// output is added to the log of a failed test.
func StartProcess(t testing.TB, bin string, args, env []string) *Process {
	t.Helper()
	p, err := startProcess(bin, args, env)
	return owned(t, p, err)
}

// Socket is a listening socket that a process is given, as systemd does it
// (sd_listen_fds(3)): it stays open while the process is gone.
type Socket struct {
	Name string // its FileDescriptorName
	File *os.File
}

// StartActivated is StartProcess with sockets.
func StartActivated(t testing.TB, bin string, args, env []string, sockets ...Socket) *Process {
	t.Helper()
	var names []string
	var files []*os.File
	for _, s := range sockets {
		names, files = append(names, s.Name), append(files, s.File)
	}
	env = append(env, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	// The shell knows its own process id, and stays the same process.
	p, err := startProcess("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, bin}, args...), env, files...)
	if err == nil {
		p.name = filepath.Base(bin)
	}
	return owned(t, p, err)
}

// owned has a process that was started end with the test.
func owned(t testing.TB, p *Process, err error) *Process {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.end(); err != nil {
			t.Error(err)
		}
		logIfFailed(t, p.name, p.Output())
	})
	return p
}

func startProcess(bin string, args, env []string, files ...*os.File) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &Process{
		name:    filepath.Base(bin),
		cmd:     exec.Command(bin, args...),
		out:     newLines(),
		exited:  make(chan struct{}),
		drained: make(chan struct{}),
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	p.cmd.Env, p.cmd.ExtraFiles = append(os.Environ(), env...), files
	// Pipes of our own: exec's would make Wait last as long as the last child
	// that inherited them.
	p.cmd.Stdout, p.cmd.Stderr = w, errW
	// A process group of its own, to be killed as a whole.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = p.cmd.Start()
	w.Close()
	errW.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", bin, err), r.Close(), errR.Close())
	}
	var readers sync.WaitGroup
	for _, f := range []*os.File{r, errR} {
		readers.Go(func() {
			p.out.read(f)
			f.Close()
		})
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
		readers.Wait()
		close(p.drained)
	}()
	if p.watchdog, err = startWatchdog(p.PID()); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// PID is the process id, which is also that of its process group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is everything written to stdout and stderr so far.
func (p *Process) Output() string { return p.out.text() }

// Exited is closed when the program is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is the code of a program that is gone; -1 if it runs or a signal
// ended it.
func (p *Process) ExitCode() int {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// WaitLine returns the first line of the output with substr, written already
// or within the timeout. It gives up at once when the program ends.
func (p *Process) WaitLine(substr string, timeout time.Duration) (string, error) {
	if line, ok := p.out.wait(substr, timeout, p.drained); ok {
		return line, nil
	}
	select {
	case <-p.exited:
		return "", fmt.Errorf("%s ended (%v) without a line with %q; it said:\n%s", p.name, p.cmd.ProcessState, substr, p.Output())
	default:
		return "", fmt.Errorf("no line with %q from %s within %v; it said:\n%s", substr, p.name, timeout, p.Output())
	}
}

// Signal sends the program a signal.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill9 ends the program and its children as a power cut would, and returns
// when they are gone.
func (p *Process) Kill9() error { return p.end() }

// Stop asks the program to end with SIGTERM. One that does not within the
// timeout is killed, and that is an error.
func (p *Process) Stop(timeout time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	var late error
	select {
	case <-p.exited:
	case <-time.After(timeout):
		late = fmt.Errorf("%s was killed: it ran on for %v after SIGTERM", p.name, timeout)
	}
	return errors.Join(late, p.end())
}

// logIfFailed adds the end of a server's log to that of a failed test.
func logIfFailed(t testing.TB, name, text string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	const most = 150
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) > most {
		all = append([]string{fmt.Sprintf("(%d lines before)", len(all)-most)}, all[len(all)-most:]...)
	}
	t.Logf("what %s said:\n%s", name, strings.Join(all, "\n"))
}
