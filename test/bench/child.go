package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 15 * time.Second
	lookEvery   = 2 * time.Millisecond
)

// child is a server in a process of its own.
type child struct {
	name   string
	addr   netip.AddrPort
	cmd    *exec.Cmd
	log    string // the file of what it says
	exited chan struct{}
}

// startChild starts a program. It is killed if this one dies.
func startChild(dir, name string, env []string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	log, err := os.CreateTemp(dir, filepath.Base(args[0])+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.log = log.Name()
	c.cmd.Dir, c.cmd.Env = dir, env
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// stop ends the program.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
		return nil
	case <-time.After(stopWithin):
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
	return fmt.Errorf("%s had to be killed", c.name)
}

// until waits for what the program does when it has started.
func (c *child) until(ctx context.Context, ready func() error) error {
	var err error
	for began := time.Now(); time.Since(began) < startWithin; time.Sleep(lookEvery) {
		select {
		case <-c.exited:
			said, _ := os.ReadFile(c.log)
			return fmt.Errorf("%s has ended: %s", c.name, bytes.TrimSpace(said))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if err = ready(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not start: %w", c.name, err)
}

// listens is when something listens on the program's address.
func (c *child) listens() error {
	conn, err := net.Dial("tcp", c.addr.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// cpu is the time of processors that the program has used.
func (c *child) cpu() (time.Duration, error) {
	p, err := procfs.NewProc(c.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	stat, err := p.Stat()
	return time.Duration(stat.CPUTime() * float64(time.Second)), err
}

// resident is the program's resident memory, in bytes.
func (c *child) resident() (int64, error) {
	p, err := procfs.NewProc(c.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	stat, err := p.Stat()
	return int64(stat.ResidentMemory()), err
}

// freeAddr is an address of loopback on which nobody listens.
func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

func freeAddrs(n int) ([]netip.AddrPort, error) {
	addrs := make([]netip.AddrPort, n)
	seen := map[netip.AddrPort]bool{}
	for i := range addrs {
		for addrs[i] == (netip.AddrPort{}) || seen[addrs[i]] {
			a, err := freeAddr()
			if err != nil {
				return nil, err
			}
			addrs[i] = a
		}
		seen[addrs[i]] = true
	}
	return addrs, nil
}

// stopAll ends programs in reverse order.
func stopAll(children ...*child) error {
	var failed error
	for i := len(children) - 1; i >= 0; i-- {
		if children[i] != nil {
			failed = errors.Join(failed, children[i].stop())
		}
	}
	return failed
}
