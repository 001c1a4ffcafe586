package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Namespace is a network namespace with one way out, a pair of virtual
// interfaces whose other end is on the host. What is done inside, with nft or
// ip, does not touch the host.
//
// It has no name: it lives as long as the process that holds it, which the
// lab's watchdog kills when the test binary dies, and the kernel removes both
// ends of the pair with it. There is nothing to be left over.
type Namespace struct {
	Host netip.Addr // the host's address on the pair
	Addr netip.Addr // the namespace's

	holder *Process
	link   string // the host's end of the pair
}

// innerLink is the name of the pair's end inside a namespace.
const innerLink = "lab0"

// StartNamespace makes a namespace until the test ends.
func StartNamespace(t testing.TB) *Namespace {
	t.Helper()
	Require(t, NeedNamespaces)
	n := &Namespace{
		holder: StartProcess(t, unsharePath, []string{"--net", "/bin/sh", "-c", "echo inside; exec sleep infinity"}, nil),
	}
	// Before that line it is still on the host's network.
	if _, err := n.holder.WaitLine("inside", startWithin); err != nil {
		t.Fatal(err)
	}
	n.link = fmt.Sprintf("sglab%d", n.holder.PID())
	t.Cleanup(func() {
		// The kernel would do it too, but after the test.
		if _, err := net.InterfaceByName(n.link); err != nil {
			return
		}
		if err := run(nil, "", ipPath, "link", "delete", n.link); err != nil {
			t.Error(err)
		}
	})
	if err := n.connect(); err != nil {
		t.Fatalf("connecting a network namespace: %v", err)
	}
	return n
}

// connect makes the pair and gives it addresses.
func (n *Namespace) connect() error {
	// Held until the host has the address, so that nobody chooses the same.
	lock, err := openLock(filepath.Join(baseDir(), dirPrefix+"netns.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return err
	}
	if n.Host, err = freePair(n.holder.PID()); err != nil {
		return err
	}
	n.Addr = n.Host.Next()
	if err := run(nil, fmt.Sprintf(`link add %[1]s type veth peer name %s netns %d
address add %s/30 dev %[1]s
link set %[1]s up
`, n.link, innerLink, n.holder.PID(), n.Host), ipPath, "-batch", "-"); err != nil {
		return err
	}
	return n.Run(fmt.Sprintf(`address add %s/30 dev %[2]s
link set %[2]s up
link set lo up
`, n.Addr, innerLink), ipPath, "-batch", "-")
}

// freePair finds four addresses in which the host has none, and returns the
// first of the middle two. They are from 198.18.0.0/15, set aside for tests of
// networks (RFC 2544): no host is there to be hidden by them.
func freePair(start int) (netip.Addr, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	const pairs = 1 << (30 - 15)
	for i := range pairs {
		offset := (start + i) % pairs * 4
		base := netip.AddrFrom4([4]byte{198, byte(18 + offset>>16), byte(offset >> 8), byte(offset)})
		if !overlaps(netip.PrefixFrom(base, 30), taken) {
			return base.Next(), nil
		}
	}
	return netip.Addr{}, errors.New("all of 198.18.0.0/15 is taken")
}

func overlaps(p netip.Prefix, addrs []net.Addr) bool {
	for _, a := range addrs {
		if other, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(other) {
			return true
		}
	}
	return false
}

// Inside is the command line that runs another inside the namespace, as the
// same process.
func (n *Namespace) Inside(command ...string) []string {
	return append([]string{nsenterPath, fmt.Sprintf("--net=/proc/%d/ns/net", n.holder.PID())}, command...)
}

// Run runs a command inside the namespace, to its end.
func (n *Namespace) Run(stdin string, command ...string) error {
	return run(n.Inside(), stdin, command...)
}

// run runs a command, behind another one if prefix is not empty.
func run(prefix []string, stdin string, command ...string) error {
	all := append(prefix, command...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	// The messages are read by us.
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", strings.Join(command, " "), err, stdin, out)
	}
	return nil
}
