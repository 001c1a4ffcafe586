package redis

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap/zaptest"
)

// server is a redis-server of a test's own.
type server struct {
	t     testing.TB
	dir   string
	addr  string
	first []string // arguments that come first: of a Sentinel, all that it understands
	args  []string
	cmd   *exec.Cmd
}

// startServer starts redis-server with further arguments; it is killed at the
// end of the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), addr: freeAddr(t), args: args}
	t.Cleanup(s.kill)
	s.start()
	return s
}

// freeAddr is an address where nobody listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("LAB_REDIS"), "redis-server"))
	if err != nil {
		s.t.Fatal("redis-server is missing: apt install redis-server")
	}
	_, port, _ := net.SplitHostPort(s.addr)
	args := append(s.first[:len(s.first):len(s.first)],
		"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log"))
	if s.first == nil {
		args = append(args, "--save", "", "--appendonly", "yes")
	}
	args = append(args, s.args...)
	s.cmd = exec.Command(path, args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server does not listen: %v\n%s", err, log)
		}
	}
}

func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	s.cmd = nil
}

// admin is a client for what the store itself never does.
func (s *server) admin() *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// testConfig is the default configuration, over a server.
func testConfig(addr string) Config {
	return Config{
		Addresses: []string{addr}, Prefix: "sg", HashKey: "0123456789abcdef",
		Timeouts: TimeoutsConfig{
			// Generous: tests share their processors with others.
			Dial: 2 * time.Second, IO: 2 * time.Second, Pool: 2 * time.Second, Call: 2 * time.Second,
		},
		PoolSize: 32, MinIdle: 4,
		MaxKeys: 10_000_000, MaxEntries: 500_000, StreamLength: 100_000,
		Resync: 5 * time.Minute, Heartbeat: 5 * time.Second,
	}
}

// openLedger opens a ledger; several over one server are several hosts.
func openLedger(t testing.TB, cfg Config, now func() time.Time) *ledger {
	t.Helper()
	client, err := Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(client, cfg, zaptest.NewLogger(t), now)
	t.Cleanup(func() {
		l.endLedger()
		_ = client.Close()
	})
	return l
}

// testClock is a clock that the test moves.
type testClock struct{ ms atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *testClock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *testClock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// must returns a value, or ends the test.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// eventually waits for what happens in its own time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// do runs a command of an operator's.
func (s *server) do(args ...any) any {
	s.t.Helper()
	c := s.admin()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%s: %v", fmt.Sprint(args...), err)
	}
	_ = c.Close()
	return v
}
