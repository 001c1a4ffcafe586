//go:build linux

// Package netns makes network namespaces for tests of the firewall: worlds in
// which a test opens sockets and changes rules, and which end with it. Nothing in
// them touches the host's network. What real servers need is in package lab.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where Debian has the programs.
const (
	ipPath      = "/usr/sbin/ip"
	nftPath     = "/usr/sbin/nft"
	nsenterPath = "/usr/bin/nsenter"
)

// World is a network namespace with its loopback interface up.
type World struct {
	testing.TB
	FD   int    // of the namespace
	Path string // the same, for other programs
}

// New makes a world until the test ends. It fails the test where that cannot be
// done.
func New(t testing.TB) *World {
	t.Helper()
	for _, program := range []string{ipPath, nftPath, nsenterPath} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("%v; install it: apt-get install --no-install-recommends -y iproute2 nftables util-linux", err)
		}
	}
	var f *os.File
	if err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("network namespaces need root with CAP_SYS_ADMIN: %w", err)
		}
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := &World{TB: t, FD: int(f.Fd()), Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())}
	w.Run("", "/bin/sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
	w.IP("link set lo up")
	return w
}

// onThread runs f on a thread that nobody else has and that ends with it. It is
// never the process's first, which cannot end, and whose namespace counts as that
// of the process.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(f) // another, since this one is taken meanwhile
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// Inside runs f inside; sockets that it opens stay there.
func (w *World) Inside(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(w.FD, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// Try runs a command inside and returns what it said.
func (w *World) Try(stdin string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, nsenterPath, append([]string{"--net=" + w.Path}, command...)...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "LC_ALL=C"), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run is Try for what has to work.
func (w *World) Run(stdin string, command ...string) string {
	w.Helper()
	out, err := w.Try(stdin, command...)
	if err != nil {
		w.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, stdin, out)
	}
	return out
}

// NFT runs a command of nft's, and returns what it prints with the elements of a set in
// one line, which later versions write below each other.
func (w *World) NFT(command string) string {
	w.Helper()
	return elementBreak.ReplaceAllString(w.Run(command+"\n", nftPath, "-f", "-"), ", ")
}

var elementBreak = regexp.MustCompile(`,\n\t+ +`)

// IP runs commands of ip's, a line each.
func (w *World) IP(commands string) {
	w.Helper()
	w.Run(commands+"\n", ipPath, "-batch", "-")
}

// The addresses of a pair of worlds, of the networks for tests (RFC 2544, RFC 3849).
const (
	Server4 = "198.18.0.1"
	Client4 = "198.18.0.2"
	Server6 = "2001:db8:ffff::1"
	Client6 = "2001:db8:ffff::2"
)

// Here is the world that the process itself is in, which has to be none of the
// host's: whoever calls has made sure of that.
func Here(t testing.TB) *World {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &World{TB: t, FD: int(f.Fd()), Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())}
}

// Pair makes a server's world and a client's, and joins them.
func Pair(t testing.TB) (server, client *World) {
	t.Helper()
	server, client = New(t), New(t)
	Join(server, client)
	return server, client
}

// Join connects a server's world and a client's. The client may use any address of
// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 100.0.0.0/8, 2001:db8::/33,
// 64:ff9b::/96 and 2002::/16 as its own.
func Join(server, client *World) {
	server.Helper()
	// Known neighbours and no duplicate detection: nothing waits for either.
	const serverMAC, clientMAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
	server.IP("link add to-client address " + serverMAC + " type veth peer name to-server address " + clientMAC + " netns " + client.Path)
	server.IP("address add " + Server4 + "/30 dev to-client\naddress add " + Server6 + "/64 dev to-client nodad\nlink set to-client up")
	client.IP("address add " + Client4 + "/30 dev to-server\naddress add " + Client6 + "/64 dev to-server nodad\nlink set to-server up")
	server.IP("neighbour add " + Client6 + " lladdr " + clientMAC + " dev to-client\nneighbour add " + Client4 + " lladdr " + clientMAC + " dev to-client")
	client.IP("neighbour add " + Server6 + " lladdr " + serverMAC + " dev to-server\nneighbour add " + Server4 + " lladdr " + serverMAC + " dev to-server")
	for _, n := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "100.0.0.0/8"} {
		client.IP("route add local " + n + " dev lo")
		server.IP("route add " + n + " via " + Client4)
	}
	client.Run("", "/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind")
	for _, n := range []string{"2001:db8::/33", "64:ff9b::/96", "2002::/16"} {
		client.IP("route add local " + n + " dev lo")
		server.IP("route add " + n + " via " + Client6)
	}
}

// Listen opens a port on all addresses, of both families, and answers every
// connection with a line; what it is then told comes back.
func (w *World) Listen(port int) {
	w.Helper()
	var l net.Listener
	if err := w.Inside(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		return err
	}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
}

func echo(c net.Conn) {
	defer c.Close()
	buffer := make([]byte, 4096)
	_, err := c.Write([]byte("hello\n"))
	for n := 0; err == nil; {
		if n, err = c.Read(buffer); err == nil {
			_, err = c.Write(buffer[:n])
		}
	}
}

// Dial connects from an address to a port of the server that the world is joined to,
// and waits until it is greeted.
func (w *World) Dial(from string, port int, within time.Duration) (net.Conn, error) {
	local := netip.MustParseAddr(from)
	server := Server4
	if local.Is6() {
		server = Server6
	}
	return w.dial(&net.TCPAddr{IP: local.AsSlice()}, netip.AddrPortFrom(netip.MustParseAddr(server), uint16(port)), within)
}

// DialTo is Dial to anywhere, from an address that the system chooses.
func (w *World) DialTo(to netip.AddrPort, within time.Duration) (net.Conn, error) {
	return w.dial(nil, to, within)
}

func (w *World) dial(from *net.TCPAddr, to netip.AddrPort, within time.Duration) (net.Conn, error) {
	c, err := w.connect(from, to, within)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if _, err := c.Read(make([]byte, 6)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, c.SetDeadline(time.Time{})
}

// Connect connects from an address of this world to any, and waits for no greeting.
func (w *World) Connect(from netip.Addr, to netip.AddrPort, within time.Duration) (net.Conn, error) {
	return w.connect(&net.TCPAddr{IP: from.AsSlice()}, to, within)
}

func (w *World) connect(from *net.TCPAddr, to netip.AddrPort, within time.Duration) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	// To one address: for several, Go would dial on threads of its own.
	err = w.Inside(func() (err error) {
		d := net.Dialer{}
		if from != nil {
			d.LocalAddr = from
		}
		c, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	return c, err
}

// Reaches tells whether the port can be reached from an address.
func (w *World) Reaches(from string, port int) bool {
	c, err := w.Dial(from, port, 300*time.Millisecond)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
