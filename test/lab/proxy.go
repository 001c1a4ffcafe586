package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ProxyV1 is the header of the PROXY protocol, version 1, that makes a server
// believe in the client.
func ProxyV1(client, server netip.AddrPort) []byte {
	family := "TCP6"
	if both4(&client, &server) {
		family = "TCP4"
	}
	return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family,
		client.Addr(), server.Addr(), client.Port(), server.Port())
}

// ProxyV2 is the same in version 2, which is binary.
func ProxyV2(client, server netip.AddrPort) []byte {
	family := byte(0x21) // TCP over IPv6
	if both4(&client, &server) {
		family = 0x11
	}
	var addrs []byte
	addrs = append(addrs, client.Addr().AsSlice()...)
	addrs = append(addrs, server.Addr().AsSlice()...)
	addrs = binary.BigEndian.AppendUint16(addrs, client.Port())
	addrs = binary.BigEndian.AppendUint16(addrs, server.Port())
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, family) // version 2, PROXY
	header = binary.BigEndian.AppendUint16(header, uint16(len(addrs)))
	return append(header, addrs...)
}

// both4 reports whether the header is one for IPv4. The header has one family
// for both ends: for an IPv6 client an IPv4 server becomes ::1.
func both4(client, server *netip.AddrPort) bool {
	*client = netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port())
	*server = netip.AddrPortFrom(server.Addr().Unmap().WithZone(""), server.Port())
	if client.Addr().Is4() && server.Addr().Is4() {
		return true
	}
	if client.Addr().Is4() {
		*client = netip.AddrPortFrom(netip.AddrFrom16(client.Addr().As16()), client.Port())
	}
	if server.Addr().Is4() {
		*server = netip.AddrPortFrom(netip.IPv6Loopback(), server.Port())
	}
	return false
}
