package replay

import (
	"net/netip"
	"testing"
)

// limited is the figures of steps under small limits.
func limited(l limits) (*stats, func(client, account string)) {
	s := newStats(l, Focus{})
	at := int64(0)
	return s, func(client, account string) {
		at++
		p := netip.MustParsePrefix(client + "/32")
		n, _ := p.Addr().Prefix(24)
		s.note(&step{at: at, times: 1, failed: true, client: p, network: n, account: account})
	}
}

// Whoever comes from ever new addresses pushes out his own, and not those that fail
// again and again.
func TestTheLightestGo(t *testing.T) {
	s, fail := limited(limits{clients: 100, networks: 100, accounts: 100, pairs: 100})
	for i := range 1000 {
		fail(netip.AddrFrom4([4]byte{45, byte(i >> 8), byte(i), 9}).String(), string(rune('a'+i%26))+string(rune('a'+i/26)))
		if i%10 == 0 {
			fail("203.0.113.7", "info")
		}
	}
	heavy := s.clients.subjects[netip.MustParsePrefix("203.0.113.7/32")]
	if heavy == nil || heavy.failures != 100 || heavy.accounts != 1 {
		t.Errorf("%+v", heavy)
	}
	if n := len(s.clients.subjects); n > 100 || n+s.clients.dropped != 1001 || s.clients.heaviest != 1 {
		t.Errorf("%d clients, %d dropped, the heaviest with %d", n, s.clients.dropped, s.clients.heaviest)
	}
	if a := s.accounts.subjects["info"]; a == nil || a.failures != 100 || len(s.accounts.subjects) > 100 {
		t.Errorf("%+v of %d", a, len(s.accounts.subjects))
	}
	if len(s.networks.subjects) > 100 || len(s.pairs) != 100 || !s.pairsFull {
		t.Errorf("%d networks, %d pairs, full: %t", len(s.networks.subjects), len(s.pairs), s.pairsFull)
	}
	if s.totals.Failures != 1100 {
		t.Errorf("%+v", s.totals)
	}
}
