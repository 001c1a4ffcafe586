package guard

import (
	"net/netip"
	"strings"

	"github.com/saslguard/saslguard/store"
)

// Tunnels are prefixes whose addresses carry an IPv4 address: the client is the
// address inside, or one host would be many clients.
var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// clientAddr returns the address that stands for a client: without a zone, and
// unwrapped from the IPv6 addresses that carry an IPv4 one. What is inside a
// NAT64 or 6to4 address counts only if it is a public address: anybody can send
// from 2002:7f00:1::1, and that is not 127.0.0.1.
func clientAddr(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	var inner netip.Addr
	b := a.As16()
	switch {
	case nat64.Contains(a):
		inner = netip.AddrFrom4([4]byte(b[12:16]))
	case sixTo.Contains(a):
		inner = netip.AddrFrom4([4]byte(b[2:6]))
	default:
		return a
	}
	if public(inner) {
		return inner
	}
	return a
}

// public tells whether an address can be a stranger's on the internet.
func public(a netip.Addr) bool {
	if a.Is4() { // most are: what follows, without looking at IPv6
		b := a.As4()
		switch {
		case b[0] == 0, b[0] == 10, b[0] == 127, b[0] >= 224:
		case b[0] == 100 && b[1]&0xc0 == 64, b[0] == 169 && b[1] == 254, b[0] == 172 && b[1]&0xf0 == 16, b[0] == 192 && b[1] == 168:
		default:
			return true
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a) && !thisNetwork.Contains(a) &&
		!nat64.Contains(a) && !sixTo.Contains(a) // still wrapped: what is inside is not public
}

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122
)

// Subjects returns what the rules call the client and the network of an address:
// prefixes of the address that stands for it.
func (r *Rules) Subjects(a netip.Addr) (client, network netip.Prefix) {
	return r.clientPrefix(clientAddr(a))
}

// AllowsClient tells whether the rules exempt a client from the client and network
// tiers. The ledger's allowlist is not asked.
func (r *Rules) AllowsClient(a netip.Addr) bool { return r.allowClients.Contains(clientAddr(a)) }

// clientPrefix returns the client and the network of an address.
func (r *Rules) clientPrefix(a netip.Addr) (client, network netip.Prefix) {
	c, n := r.client6, r.network6
	if a.Is4() {
		c, n = r.client4, r.network4
	}
	client, _ = a.Prefix(c)
	network, _ = a.Prefix(n)
	return client, network
}

// Account returns the canonical form of a login: lower case, with the default
// domain if it has none, cut at store.MaxAccount bytes.
func (r *Rules) Account(login string) string {
	if login == "" {
		return ""
	}
	if len(login) > store.MaxAccount {
		login = login[:store.MaxAccount]
	}
	login = strings.ToLower(login)
	if r.defaultDomain != "" && strings.IndexByte(login, '@') < 0 {
		login += "@" + r.defaultDomain
	}
	if len(login) > store.MaxAccount {
		login = login[:store.MaxAccount]
	}
	return login
}
