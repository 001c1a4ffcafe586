package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
)

// lowestSteady is the first port that steadyAddrs gives.
const lowestSteady = 10000

// steadyAddrs returns n different free addresses of 127.0.0.1 that stay free
// while their server is down. The kernel must not hand them out: else somebody
// else's connection takes the port of a killed server, or a client that dials
// it from the very same port is connected to itself.
func steadyAddrs(n int) ([]netip.AddrPort, error) {
	const path = "/proc/sys/net/ipv4/ip_local_port_range"
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var low, high int
	if _, err := fmt.Sscan(string(data), &low, &high); err != nil {
		return nil, fmt.Errorf("%s says %q: %w", path, data, err)
	}
	if low-lowestSteady < 1000 {
		return nil, fmt.Errorf("%s leaves no ports from %d to %d for the lab", path, lowestSteady, low)
	}
	addrs := make([]netip.AddrPort, 0, n)
	for range 100 * n {
		port := lowestSteady + rand.IntN(low-lowestSteady)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		// Held until all are found, so that none is found twice.
		defer l.Close()
		if addrs = append(addrs, l.Addr().(*net.TCPAddr).AddrPort()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports from %d to %d", n, lowestSteady, low)
}

// onSteadyPorts is onFreePorts with ports that outlive their server.
func onSteadyPorts(n int, start func(addrs []netip.AddrPort) error) error {
	const tries = 3
	var err error
	for range tries {
		addrs, findErr := steadyAddrs(n)
		if findErr != nil {
			return findErr
		}
		if err = start(addrs); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}
