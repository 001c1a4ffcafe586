package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// soon is a context for commands that must be answered.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		appendOnly bool
		end        func(r *Redis) error
		restart    func(r *Redis) error
		kept       bool
	}{
		{"forgets", false, (*Redis).Stop, (*Redis).Restart, false},
		{"keeps over a stop", true, (*Redis).Stop, (*Redis).Restart, true},
		{"keeps over a kill", true, (*Redis).Kill9, (*Redis).Restart, true},
		{"restarts while running", true, func(*Redis) error { return nil }, (*Redis).Restart, true},
		{"empty", true, (*Redis).Kill9, (*Redis).RestartEmpty, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t, RedisOptions{AppendOnly: c.appendOnly})
			client, ctx, pid := r.Client(t), soon(t), r.PID()
			if err := client.Set(ctx, "key", "value", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.end(r); err != nil {
				t.Fatal(err)
			}
			if err := c.restart(r); err != nil {
				t.Fatal(err)
			}
			got, err := client.Get(ctx, "key").Result()
			if c.kept && got != "value" || !c.kept && !errors.Is(err, redis.Nil) {
				t.Errorf("after the restart GET says %q, %v", got, err)
			}
			if r.PID() == pid || strings.Count(r.Log(), "Ready to accept connections") != 2 {
				t.Errorf("PID %d, before %d; the log of both starts:\n%s", r.PID(), pid, r.Log())
			}
		})
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *Redis) error{"stop": (*Redis).Stop, "kill": (*Redis).Kill9} {
		r := StartRedis(t, RedisOptions{Args: []string{"--maxmemory", "64mb"}})
		if got, err := r.Client(t).ConfigGet(soon(t), "maxmemory").Result(); err != nil || got["maxmemory"] != "67108864" {
			t.Errorf("Args are not heeded: %v, %v", got, err)
		}
		if err := end(r); err != nil {
			t.Error(err)
		}
		if conn, err := net.DialTimeout("tcp", r.Addr, 5*time.Second); err == nil {
			conn.Close()
			t.Errorf("after %s somebody listens on %s", name, r.Addr)
		}
		if left := groupMembers(r.PID()); len(left) > 0 || r.running() {
			t.Errorf("after %s %v are left", name, left)
		}
	}
}

func TestRedisFrozen(t *testing.T) {
	t.Parallel()
	r := StartRedis(t, RedisOptions{})
	client := r.Client(t)
	if err := client.Ping(soon(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx).Err(); err == nil {
		t.Error("a frozen Redis answers")
	}
	conn, err := net.DialTimeout("tcp", r.Addr, 5*time.Second)
	if err != nil {
		t.Fatalf("a frozen Redis is not even connected to: %v", err)
	}
	conn.Close()
	if err := r.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(soon(t)).Err(); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
	if err := r.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := r.Stop(); err != nil || time.Since(begin) > stopWithin {
		t.Errorf("stopping a frozen Redis: %v after %v", err, time.Since(begin))
	}
	if err := r.Restart(); err != nil || !r.running() {
		t.Error(err)
	}
}

// A port of somebody else is told from any other failure, even when it is
// another Redis that answers there.
func TestRedisPortTaken(t *testing.T) {
	t.Parallel()
	other := StartRedis(t, RedisOptions{})
	r := newRedis(t, "Redis")
	r.Addr = other.Addr
	r.command = redisCommand(r.Dir, netip.MustParseAddrPort(other.Addr), RedisOptions{})
	if err := r.launch(); !errors.Is(err, errPortTaken) {
		t.Errorf("on a taken port: %v, want errPortTaken", err)
	}
	addrs, err := steadyAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	r.Addr = addrs[0].String()
	r.command = redisCommand(r.Dir, addrs[0], RedisOptions{Args: []string{"--nonsense", "1"}})
	if err := r.launch(); err == nil || errors.Is(err, errPortTaken) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("with a bad configuration: %v", err)
	}
}

func TestSteadyPortsAreNotHandedOut(t *testing.T) {
	addrs, err := steadyAddrs(50)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := freeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		if seen[a] || a.Port() < lowestSteady || a.Port() >= ephemeral[0].Port() {
			t.Errorf("%v is among the kernel's own, as is %v, or came twice", a, ephemeral[0])
		}
		seen[a] = true
	}
}

func TestRequireRedisAndNamespaces(t *testing.T) {
	got := missing([]Need{NeedRedis, NeedNamespaces}, func(string) bool { return false })
	const want = "apt-get install --no-install-recommends -y redis-server iproute2 nftables util-linux"
	if !strings.Contains(got, want) || !strings.Contains(got, "Redis: no /usr/bin/redis-server") {
		t.Errorf("with nothing installed Require says\n%s", got)
	}
	if os.Geteuid() != 0 {
		if got := missing([]Need{NeedNamespaces}, exists); !strings.Contains(got, "root") {
			t.Errorf("not root, and Require says %q", got)
		}
	}
	for version, recent := range map[string]bool{
		"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64": true,
		"Redis server v=10.0.0 sha=0":                                        true,
		"Redis server v=6.2.1 sha=0":                                         false,
		"":                                                                   false,
	} {
		if isRecentRedis(version) != recent {
			t.Errorf("isRecentRedis(%q) = %v", version, !recent)
		}
	}
}
