//go:build linux

package sockdiag

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/netns"
)

// Only connections to guarded local ports from addresses that match are ended, and
// both ends are told at once: IPv4 ones of a server that listens on :: as well.
func TestEnd(t *testing.T) {
	server, client := netns.Pair(t)
	server.Listen(587)
	server.Listen(25)
	open := func(from string, port int) net.Conn {
		t.Helper()
		c, err := client.Dial(from, port, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	lives := func(c net.Conn) bool {
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Write([]byte("x"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		return err == nil
	}
	banned := map[string]net.Conn{}
	for _, from := range []string{"203.0.113.1", "203.0.113.2", "2001:db8:1:2::1", "2001:db8:1:2::99"} {
		banned[from] = open(from, 587)
	}
	spared := map[string]net.Conn{"203.0.113.1 to another port": open("203.0.113.1", 25)}
	for _, from := range []string{"198.51.100.1", "2001:db8:1:3::1"} {
		spared[from] = open(from, 587)
	}
	// Mail on its way to the banned host's port 587.
	client.Listen(587)
	outbound, err := server.DialTo(netip.MustParseAddrPort(netns.Client4+":587"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer outbound.Close()
	spared["an outbound connection"] = outbound

	match := func(a netip.Addr) bool {
		return a == netip.MustParseAddr(netns.Client4) || netip.MustParsePrefix("203.0.113.0/24").Contains(a) || netip.MustParsePrefix("2001:db8:1:2::/64").Contains(a)
	}
	s := Sessions{NetNS: server.FD}
	if n, err := s.End(t.Context(), []uint16{587}, match, 1); err != nil || n != 1 {
		t.Errorf("with a limit of one %d were ended, %v", n, err)
	}
	if n, err := s.End(t.Context(), []uint16{587}, match, 100); err != nil || n != len(banned)-1 {
		t.Errorf("%d were ended, %v", n, err)
	}
	for from, c := range banned {
		if lives(c) {
			t.Errorf("%s goes on", from)
		}
	}
	for name, c := range spared {
		if !lives(c) {
			t.Errorf("%s was ended", name)
		}
	}
	if n, err := s.End(t.Context(), []uint16{587}, match, 100); err != nil || n != 0 {
		t.Errorf("once more %d were ended, %v", n, err)
	}
}
