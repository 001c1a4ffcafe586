package configs

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"github.com/saslguard/saslguard/admin"
)

// A listener is an address somewhere in the configuration.
type listener struct {
	key, address string
}

func (c *Config) listeners() []listener {
	var all []listener
	add := func(key string, addresses []string) {
		for i, a := range addresses {
			all = append(all, listener{fmt.Sprintf("%s[%d]", key, i), a})
		}
	}
	add("postfix.listen", c.Postfix.Listen)
	add("dovecot.listen", c.Dovecot.Listen)
	if c.Admin.Listen != "" {
		all = append(all, listener{"admin.listen", c.Admin.Listen})
	}
	add("admin.control.listen", c.Admin.Control.Listen)
	if s := c.Admin.Control.Socket; s != "" && s != admin.NoSocket {
		all = append(all, listener{"admin.control.socket", "unix:" + s})
	}
	return all
}

// checkListeners finds parts that would take each other's address, which the
// system would tell only after half of saslguard has started.
func (c *Config) checkListeners(problem func(key, text string)) {
	all := c.listeners()
	for i, a := range all {
		for _, b := range all[:i] {
			if collide(a.address, b.address) {
				problem(a.key, fmt.Sprintf("%s is taken by %s already; allowed is an address of its own",
					a.address, b.key))
				break
			}
		}
	}
}

// deaf tells whether nobody could ask, but by sockets that systemd passes.
func (c *Config) deaf() bool {
	return len(c.Postfix.Listen) == 0 && len(c.Dovecot.Listen) == 0
}

// collide tells whether two addresses cannot be listened on at once. A
// malformed one collides with nothing: its part complains of it.
func collide(a, b string) bool {
	pathA, unixA := strings.CutPrefix(a, "unix:")
	pathB, unixB := strings.CutPrefix(b, "unix:")
	if unixA || unixB {
		return unixA && unixB && path.Clean(pathA) == path.Clean(pathB)
	}
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || everywhere(hostA) || everywhere(hostB)
}

// everywhere tells whether a host stands for all addresses of the machine. An
// IPv6 wildcard takes the IPv4 ports as well, unless the system is told not to.
func everywhere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}
