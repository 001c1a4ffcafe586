package admin

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Check reports everything that is wrong with the configuration, by keys
// relative to it.
func (c *Config) Check(problem func(key, text string)) {
	const allowed = `allowed is host:port on loopback, such as 127.0.0.1:4002, or "" for nowhere`
	if c.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		problem("listen", fmt.Sprintf("%q is no address; %s", c.Listen, allowed))
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		problem("listen", fmt.Sprintf("%q has no port between 1 and 65535; %s", c.Listen, allowed))
	}
	// Metrics tell how much is being attacked and refused, and nobody is asked
	// who he is: so only those on this host may see them.
	addr, err := netip.ParseAddr(host)
	if loopback := err == nil && addr.IsLoopback() || host == "localhost"; !loopback {
		problem("listen", fmt.Sprintf("%q is not on loopback, and whoever asks is not authenticated; %s", c.Listen, allowed))
	}
}
