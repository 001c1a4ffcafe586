package policy

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/saslguard/saslguard/guard"
)

// maxPeers bounds allow_from, which is looked through at each connection.
const maxPeers = 100

// checkPeers sees to it that nobody is heard who was not meant to be: the protocol
// has no authentication, and who can ask can forge successful logins.
func (c Config) checkPeers(problem func(key, text string)) {
	if exposed := c.Exposed(); len(exposed) > 0 && len(c.AllowFrom) == 0 {
		problem("allow_from", fmt.Sprintf("required, because others can reach listen, %s, and the protocol knows no authentication; "+
			"allowed are the addresses and networks of the hosts on which Postfix runs, such as [192.0.2.10, 172.18.0.0/16]", exposed[0]))
	}
	if len(c.AllowFrom) > maxPeers {
		problem("allow_from", fmt.Sprintf("has %d entries, at most %d are allowed", len(c.AllowFrom), maxPeers))
	}
	for i, text := range c.AllowFrom {
		if _, err := guard.ParsePrefix(text); err != nil {
			problem(fmt.Sprintf("allow_from[%d]", i), err.Error())
		}
	}
}

// peers are the prefixes of an AllowFrom that has passed Check.
func (c Config) peers() []netip.Prefix {
	var peers []netip.Prefix
	for _, text := range c.AllowFrom {
		if p, err := guard.ParsePrefix(text); err == nil {
			peers = append(peers, p)
		}
	}
	return peers
}

// admits tells whether who has connected may ask: by a Unix socket, from this host,
// or from where it is allowed. Sockets that systemd passes are held to it as well.
func (s *settings) admits(nc net.Conn) bool {
	peer, tcp := nc.RemoteAddr().(*net.TCPAddr)
	if !tcp {
		return true
	}
	addr := peer.AddrPort().Addr().Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	if here, ok := nc.LocalAddr().(*net.TCPAddr); ok && here.AddrPort().Addr().Unmap().WithZone("") == addr {
		return true
	}
	for _, p := range s.peers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
