package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on, for a program
// that is started later, and perhaps again: the kernel gives it to no connection of
// another test meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	addrs, err := steadyAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return int(addrs[0].Port())
}

// freeAddrs returns n different free addresses. They are held together before
// they are let go, or the kernel might give one of them twice.
func freeAddrs(n int) ([]netip.AddrPort, error) {
	addrs := make([]netip.AddrPort, 0, n)
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return addrs, nil
}

// errPortTaken says that a server may start on other ports.
var errPortTaken = errors.New("a chosen port was taken by somebody else")

// anyTaken tells whether somebody listens on one of the addresses.
func anyTaken(addrs []netip.AddrPort) bool {
	for _, a := range addrs {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			return true
		}
		l.Close()
	}
	return false
}

// onFreePorts starts a server on n free ports, and again on others when
// somebody took one of them between choosing and binding.
func onFreePorts(n int, start func(addrs []netip.AddrPort) error) error {
	const tries = 3
	var err error
	for range tries {
		addrs, listenErr := freeAddrs(n)
		if listenErr != nil {
			return listenErr
		}
		if err = start(addrs); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}
