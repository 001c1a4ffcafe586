package guard

import (
	"net/netip"
	"testing"
)

// What is decided by the first bytes of an IPv4 address is what the prefixes say, also
// around the borders of each.
func TestPublicIPv4(t *testing.T) {
	closed := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
	}
	var prefixes []netip.Prefix
	for _, p := range closed {
		prefixes = append(prefixes, netip.MustParsePrefix(p))
	}
	for i := range 1 << 16 {
		for _, rest := range [][2]byte{{0, 0}, {0, 1}, {255, 254}, {255, 255}} {
			a, want := netip.AddrFrom4([4]byte{byte(i >> 8), byte(i), rest[0], rest[1]}), true
			for _, p := range prefixes {
				want = want && !p.Contains(a)
			}
			if got := public(a); got != want {
				t.Fatalf("public(%v) is %v", a, got)
			}
		}
	}
}
