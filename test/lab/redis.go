package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions says what a Redis of the lab is like.
type RedisOptions struct {
	// AppendOnly keeps the data over Stop, Kill9 and Restart: every write is on
	// the disk before it is acknowledged. Without it nothing is kept.
	AppendOnly bool
	// Args are added to the command line, where the last of a name holds:
	//
	//	"--maxmemory", "64mb", "--maxmemory-policy", "noeviction"
	Args []string
}

// Redis is a redis-server in a directory and on a port of its own. Its methods
// may be called from any goroutine.
type Redis struct {
	Addr string // host:port
	Dir  string

	name    string   // in messages
	command []string // what runs it

	mu     sync.Mutex
	procs  []*Process // one for each start; only the last may run
	frozen bool
}

// StartRedis runs a Redis until the test ends. When it returns, Redis answers.
func StartRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	Require(t, NeedRedis)
	return startRedis(t, "Redis", 1, func(dir string, addrs []netip.AddrPort) ([]string, error) {
		return redisCommand(dir, addrs[0], o), nil
	})
}

// redisCommand is the command line of an ordinary server.
func redisCommand(dir string, addr netip.AddrPort, o RedisOptions) []string {
	appendOnly := "no"
	if o.AppendOnly {
		appendOnly = "yes"
	}
	return append([]string{
		redisPath(),
		"--bind", addr.Addr().String(),
		"--port", strconv.Itoa(int(addr.Port())),
		"--dir", dir,
		"--save", "",
		"--appendonly", appendOnly,
		"--appendfsync", "always",
		"--protected-mode", "no",
		// Neither starting to copy to a replica nor ending may wait for others.
		"--repl-diskless-sync-delay", "0",
		"--shutdown-timeout", "0",
	}, o.Args...)
}

// startRedis runs what command returns on n ports, the first of which is the
// server's address.
func startRedis(t testing.TB, name string, n int, command func(dir string, addrs []netip.AddrPort) ([]string, error)) *Redis {
	t.Helper()
	r := newRedis(t, name)
	if err := onSteadyPorts(n, func(addrs []netip.AddrPort) error {
		c, err := command(r.Dir, addrs)
		if err != nil {
			return err
		}
		r.Addr, r.command = addrs[0].String(), c
		return r.launch()
	}); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	return r
}

// newRedis is one that does not run yet, and that ends with the test.
func newRedis(t testing.TB, name string) *Redis {
	t.Helper()
	r := &Redis{name: name, Dir: Dir(t)}
	t.Cleanup(func() {
		if err := r.Kill9(); err != nil {
			t.Error(err)
		}
		logIfFailed(t, r.name+" "+r.Addr, r.Log())
	})
	return r
}

// launch starts the server where it does not run, and waits until it answers.
func (r *Redis) launch() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := startProcess(r.command[0], r.command[1:], nil)
	if err != nil {
		return err
	}
	r.procs, r.frozen = append(r.procs, p), false
	if err := r.waitReady(p); err != nil {
		err = errors.Join(err, p.end())
		if strings.Contains(p.Output(), "Address already in use") {
			return errPortTaken
		}
		return err
	}
	return nil
}

// waitReady waits until our own process, and no other on its port, answers.
func (r *Redis) waitReady(p *Process) error {
	return eventually(startWithin, func() error {
		select {
		case <-p.drained: // not exited: the reason is its last word
			return errFinal{fmt.Errorf("%s ended:\n%s", r.name, p.Output())}
		default:
		}
		// PING and INFO: the first is refused while data is loaded.
		if _, err := r.do("PING"); err != nil {
			return err
		}
		pid, err := r.info("server", "process_id")
		if err != nil {
			return err
		}
		if pid != strconv.Itoa(p.PID()) {
			return errFinal{errPortTaken}
		}
		return nil
	})
}

// Stop ends Redis with SIGTERM. A frozen one is thawed, or it would not hear.
func (r *Redis) Stop() error {
	p := r.proc()
	if p == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Stop(stopWithin)
}

// Kill9 ends Redis as a power cut would.
func (r *Redis) Kill9() error {
	if p := r.proc(); p != nil {
		return p.Kill9()
	}
	return nil
}

// Restart starts Redis again, on the same port and in the same directory. One
// that runs is stopped before.
func (r *Redis) Restart() error {
	if err := r.Stop(); err != nil {
		return err
	}
	if err := r.launch(); err != nil {
		return fmt.Errorf("restarting %s on %s: %w", r.name, r.Addr, err)
	}
	return nil
}

// RestartEmpty is Restart without what AppendOnly kept. What a node of a
// cluster knows of the others stays.
func (r *Redis) RestartEmpty() error {
	if err := r.Kill9(); err != nil {
		return err
	}
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(r.Dir, name)); err != nil {
			return err
		}
	}
	return r.Restart()
}

// Backup copies what AppendOnly has kept so far. What it returns ends Redis as a
// power cut would, and starts it as it was at the time of the copy.
func (r *Redis) Backup() (restore func() error, err error) {
	const name = "appendonlydir"
	copied := filepath.Join(r.Dir, "backup")
	if err := os.CopyFS(filepath.Join(copied, name), os.DirFS(filepath.Join(r.Dir, name))); err != nil {
		return nil, fmt.Errorf("copying the data of %s: %w", r.name, err)
	}
	return func() error {
		if err := r.Kill9(); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(r.Dir, name)); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(copied, name), filepath.Join(r.Dir, name)); err != nil {
			return err
		}
		return r.launch()
	}, nil
}

// Freeze stops Redis in its tracks: its connections stay and new ones are
// accepted by the kernel, but nothing is answered.
func (r *Redis) Freeze() error { return r.setFrozen(true) }

// Thaw lets a frozen Redis go on. It answers what came in the meantime.
func (r *Redis) Thaw() error { return r.setFrozen(false) }

// setFrozen returns when the kernel has done it.
func (r *Redis) setFrozen(frozen bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.procs[len(r.procs)-1]
	sig := syscall.SIGCONT
	if frozen {
		sig = syscall.SIGSTOP
	}
	if err := p.Signal(sig); err != nil {
		return fmt.Errorf("%v for %s: %w", sig, r.name, err)
	}
	r.frozen = frozen
	return eventually(stopWithin, func() error {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			return errFinal{err}
		}
		if state, _, _ := parseStat(data); (state == 'T') != frozen {
			return fmt.Errorf("%s is in state %c after %v", r.name, state, sig)
		}
		return nil
	})
}

// PID is the process id of the running Redis, or of the last that ran.
func (r *Redis) PID() int { return r.proc().PID() }

// Log is what Redis has said, over all its starts.
func (r *Redis) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, p := range r.procs {
		all = append(all, p.Output())
	}
	return strings.Join(all, "\n")
}

// Client is a client with go-redis's own defaults, but one that minds the
// deadline of a context. It is closed when the test ends.
func (r *Redis) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr:                     r.Addr,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: withoutMaintenance(),
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// withoutMaintenance leaves out a question that only Redis's own cloud answers.
func withoutMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func (r *Redis) proc() *Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.procs) == 0 {
		return nil
	}
	return r.procs[len(r.procs)-1]
}

// running says whether Redis can answer.
func (r *Redis) running() bool {
	p := r.proc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if p == nil || r.frozen {
		return false
	}
	select {
	case <-p.Exited():
		return false
	default:
		return true
	}
}
