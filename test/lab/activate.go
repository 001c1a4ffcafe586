package lab

import (
	"net"
	"os"
	"strings"
	"testing"
)

// Hold opens a socket, "host:port" or "unix:/path", until the test ends, for programs
// that know it by its FileDescriptorName: what connects while none of them runs waits
// for the next.
func Hold(t testing.TB, name, address string) Socket {
	t.Helper()
	network := "tcp"
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatalf("holding a socket: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatalf("holding a socket: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return Socket{Name: name, File: f}
}
