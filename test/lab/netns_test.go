package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBlackHole(t *testing.T) {
	t.Parallel()
	b := StartBlackHole(t, RedisOptions{})
	// Another beside it is not affected.
	other := StartBlackHole(t, RedisOptions{})
	if b.Addr == other.Addr || b.Addr != b.Redis.Addr {
		t.Fatalf("the addresses are %s, %s and %s", b.Addr, b.Redis.Addr, other.Addr)
	}
	client := b.Redis.Client(t)
	if err := client.Ping(soon(t)).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.DialTimeout("tcp", b.Addr, 300*time.Millisecond)
	if err == nil {
		conn.Close()
		t.Error("a connection through the black hole")
	} else if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("dialling says %v, want a timeout", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Errorf("an open connection says %v, want a timeout", err)
	}
	if err := other.Redis.Client(t).Ping(soon(t)).Err(); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if out, err := exec.Command(nftPath, "list", "table", "ip", "lab").CombinedOutput(); err == nil {
		t.Errorf("the host has a table:\n%s", out)
	}
	for range 2 {
		if err := b.Restore(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Ping(soon(t)).Err(); err != nil {
		t.Errorf("after Restore: %v", err)
	}
}

// Data that was sent into the hole arrives after it.
func TestBlackHoleKeepsConnections(t *testing.T) {
	t.Parallel()
	b := StartBlackHole(t, RedisOptions{})
	conn, err := dialLines(netip.MustParseAddrPort(b.Addr), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if err := b.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := conn.writeLine("PING"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := b.Restore(); err != nil {
		t.Fatal(err)
	}
	if line, err := conn.readLine(); err != nil || line != "+PONG" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestNamespaceEnds(t *testing.T) {
	t.Parallel()
	var n *Namespace
	if !t.Run("its test", func(t *testing.T) {
		n = StartNamespace(t)
		if _, err := net.InterfaceByName(n.link); err != nil {
			t.Error(err)
		}
		if err := n.Run("", "/bin/false"); err == nil {
			t.Error("a command that fails is said to succeed")
		}
		inside := n.Inside("readlink", "/proc/self/ns/net")
		here, err1 := os.Readlink("/proc/self/ns/net")
		there, err2 := exec.Command(inside[0], inside[1:]...).Output()
		if err := errors.Join(err1, err2); err != nil || here == strings.TrimSpace(string(there)) {
			t.Errorf("inside is %s and outside %s (%v)", there, here, err)
		}
	}) {
		return
	}
	if _, err := net.InterfaceByName(n.link); err == nil {
		t.Errorf("%s outlives its test", n.link)
	}
	if left := groupMembers(n.holder.PID()); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// When the test binary is killed no cleanup runs, and yet nothing stays.
func TestNamespaceOfDeadTest(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		b := StartBlackHole(t, RedisOptions{})
		fmt.Printf("left: %s %d %d\n", b.namespace.link, b.namespace.holder.PID(), b.Redis.PID())
		select {}
	}
	t.Parallel()
	child := StartProcess(t, os.Args[0], []string{"-test.run=^TestNamespaceOfDeadTest$"}, []string{childEnv + "=1"})
	line, err := child.WaitLine("left: ", 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(line)
	if err := child.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := eventually(10*time.Second, func() error {
		if _, err := net.InterfaceByName(f[1]); err == nil {
			return fmt.Errorf("%s is left", f[1])
		}
		for _, text := range f[2:] {
			pid, err := strconv.Atoi(text)
			if err != nil {
				return errFinal{err}
			}
			if left := groupMembers(pid); len(left) > 0 {
				return fmt.Errorf("%v are left", left)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestFreePair(t *testing.T) {
	first, err := freePair(0)
	if err != nil {
		t.Fatal(err)
	}
	last, err := freePair(1<<15 - 1)
	if err != nil {
		t.Fatal(err)
	}
	if first != netip.MustParseAddr("198.18.0.1") || last != netip.MustParseAddr("198.19.255.253") {
		t.Errorf("the first is %v and the last %v", first, last)
	}
	taken := []net.Addr{&net.IPNet{IP: net.IPv4(198, 18, 0, 1), Mask: net.CIDRMask(16, 32)}}
	if !overlaps(netip.MustParsePrefix("198.18.5.4/30"), taken) || overlaps(netip.MustParsePrefix("198.19.0.0/30"), taken) {
		t.Error("a range that the host has is not told from one that is free")
	}
}
