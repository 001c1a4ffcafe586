package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Programs of others that saslguard is measured beside, and where Debian has them.
const (
	redisServer = "/usr/bin/redis-server"
	postfwd     = "/usr/sbin/postfwd"
	wrk         = "/usr/bin/wrk"
	fail2ban    = "/usr/bin/fail2ban-regex"
	perf        = "/usr/bin/perf"
)

// installed tells whether a program is there.
func installed(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// startRedis starts a Redis that keeps nothing on disk.
func (b *bench) startRedis(ctx context.Context) (*child, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	c, err := startChild(b.dir, "Redis", plainEnvironment(), redisServer, "--bind", addr.Addr().String(),
		"--port", strconv.Itoa(int(addr.Port())), "--save", "", "--appendonly", "no", "--dir", b.dir)
	if err != nil {
		return nil, err
	}
	c.addr = addr
	if err := c.until(ctx, c.listens); err != nil {
		_ = c.stop()
		return nil, err
	}
	return c, nil
}

// firewallDaemon is Debian's postfwd as a policy server. It makes itself a daemon, so
// that it is ended by the group whose number it writes down.
type firewallDaemon struct {
	addr netip.AddrPort
	dir  string
	pid  string // the file
}

// startPostfwd starts a postfwd with one rule that compares the client's address, and
// with as many processes as there are connections, since each serves one at a time.
func (b *bench) startPostfwd(ctx context.Context, connections int) (*firewallDaemon, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := directoryOf(nobody)
	if err != nil {
		return nil, err
	}
	f := &firewallDaemon{addr: addr, dir: dir, pid: filepath.Join(dir, "pid")}
	n := strconv.Itoa(connections)
	cmd := exec.CommandContext(ctx, postfwd, "--interface", addr.Addr().String(), "--port", strconv.Itoa(int(addr.Port())),
		"--min_servers", n, "--max_servers", n, "--min_spare_servers", "1", "--max_spare_servers", strconv.Itoa(connections-1),
		"--rule", "id=R1; client_address==192.0.2.200; action=REJECT", "--nodns", "--perfmon", "--noidlestats",
		"--cache_socket", "unix::"+filepath.Join(dir, "cache"), "--pidfile", f.pid, "--user", nobody, "--group", "nogroup")
	cmd.Env = plainEnvironment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("starting postfwd: %w: %s", err, out)
	}
	c := child{addr: addr}
	for began := time.Now(); ; time.Sleep(lookEvery) {
		err := c.listens()
		if err == nil {
			return f, nil
		}
		if time.Since(began) > startWithin || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("postfwd does not start: %w", err), f.stop())
		}
	}
}

// nobody is the user that postfwd runs as.
const nobody = "nobody"

// directoryOf makes a directory in which a user may write.
func directoryOf(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "saslguard-bench-"+name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chown(dir, id, -1)
}

// stop ends postfwd and all its processes.
func (f *firewallDaemon) stop() error {
	defer os.RemoveAll(f.dir)
	text, err := os.ReadFile(f.pid)
	if err != nil {
		return fmt.Errorf("ending postfwd: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("ending postfwd: no process number: %q", text)
	}
	if err := syscall.Kill(-pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending postfwd: %w", err)
	}
	return nil
}
