package firewall

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/store"
)

// Spare is why a ban is not enforced here, as in the label of a metric.
type Spare string

// The reasons.
const (
	SpareLoopback Spare = "loopback"
	SpareOwn      Spare = "own"
	SparePrivate  Spare = "private"
	SpareAllowed  Spare = "allowed"
	SpareAddress  Spare = "address" // it is none that packets come from
	SpareNAT64    Spare = "nat64"   // it stands for all who come by a NAT64
	SpareFlushed  Spare = "flushed" // by an operator
	SpareFull     Spare = "full"    // there are max_bans
)

// says is the reason in words, with what can be done.
func (s Spare) says() string {
	switch s {
	case SpareLoopback:
		return "it is this host itself, by the loopback interface"
	case SpareOwn:
		return "an address of this host is in it"
	case SparePrivate:
		return "it is private: behind a proxy or NAT it stands for everybody; firewall.private bans such addresses nevertheless"
	case SpareAllowed:
		return "it is on the allowlist"
	case SpareAddress:
		return "no packet comes from such an address"
	case SpareNAT64:
		return "all clients that come by a NAT64 are in it; only an operator bans those"
	case SpareFlushed:
		return "the firewall was flushed; saslguard firewall resume brings it back"
	case SpareFull:
		return "there are as many bans as firewall.max_bans; the others that are left out for it are not said, but counted"
	}
	return string(s)
}

// spared are the addresses that bans do not reach, whatever the store says.
type spared struct {
	loopback []netip.Prefix
	private  []netip.Prefix // none where they may be banned
	unusable []netip.Prefix // sources that no TCP connection has
	own      []netip.Addr   // of this host
	nat64    netip.Prefix   // RFC 6052
}

// newSpared returns those of a host; banPrivate lets private ones be banned.
func newSpared(own []netip.Addr, banPrivate bool) *spared {
	s := &spared{
		loopback: prefixes("127.0.0.0/8", "::1/128"),
		unusable: prefixes("0.0.0.0/8", "224.0.0.0/3", "::/64", "ff00::/8"),
		own:      own,
		nat64:    netip.MustParsePrefix("64:ff9b::/96"),
	}
	if !banPrivate {
		s.private = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10")
	}
	return s
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

// elements are the never layer.
func (s *spared) elements() []Element {
	var elements []Element
	for _, ps := range [][]netip.Prefix{s.loopback, s.private} {
		for _, p := range ps {
			elements = append(elements, Element{Layer: Never, Prefix: p})
		}
	}
	for _, a := range s.own {
		elements = append(elements, Element{Layer: Never, Prefix: netip.PrefixFrom(a, a.BitLen())})
	}
	return elements
}

// judge says why a ban of a prefix is not enforced, or "". A wide ban that only
// has spared addresses among others is enforced, since the layers let those pass;
// whole tells that there are no layers, so that it must not be. An automatic ban
// is made of a client, and one with an address of this host in it was not meant.
func (s *spared) judge(e Element, whole bool) Spare {
	p := e.Prefix
	hits := func(strict bool, all []netip.Prefix) bool {
		for _, q := range all {
			if within(p, q) || strict && p.Overlaps(q) {
				return true
			}
		}
		return false
	}
	switch {
	case hits(whole, s.loopback):
		return SpareLoopback
	case hits(false, s.unusable): // ::/64 is also the canary of the set of /64s
		return SpareAddress
	case hits(whole, s.private):
		return SparePrivate
	}
	for _, a := range s.own {
		if within(p, netip.PrefixFrom(a, a.BitLen())) || (whole || e.Layer == Ban) && p.Contains(a) {
			return SpareOwn
		}
	}
	if e.Layer == Ban && within(s.nat64, p) {
		return SpareNAT64
	}
	return ""
}

// within tells whether p lies in q.
func within(p, q netip.Prefix) bool { return p.Bits() >= q.Bits() && q.Contains(p.Addr()) }

// key names an entry of the ledger.
type key struct {
	kind   store.EntryKind
	prefix netip.Prefix
}

// element is what an entry asks for.
func (k key) element(until moment) Element {
	e := Element{Prefix: k.prefix, Until: until.time()}
	switch k.kind {
	case store.OperatorBan:
		e.Layer = OperatorBan
	case store.Allow:
		e.Layer = Allow
	default:
		e.Layer = Ban
	}
	return e
}

// denies tells what the layers do with an address, as the kernel does it: what
// is inside an address of NAT64 or 6to4 is looked at first.
func (s *shadow) denies(a netip.Addr, at time.Time) bool {
	now := momentOf(at)
	a = a.Unmap().WithZone("")
	if inner, ok := wrapped(a); ok {
		if denied, decided := s.decide(inner, now); decided && !s.holds(Never4, inner, now) {
			return denied
		}
	}
	denied, _ := s.decide(a, now)
	return denied
}

func (s *shadow) decide(a netip.Addr, now moment) (denied, decided bool) {
	order := []Set{Never6, Operator6, Allow6, Ban64, Ban6, Net6}
	if a.Is4() {
		order = []Set{Never4, Operator4, Allow4, Ban4, Net4}
	}
	for _, set := range order {
		if s.holds(set, a, now) {
			return set.layer().Denies(), true
		}
	}
	return false, false
}

// wrapped returns the IPv4 address inside one of NAT64 (64:ff9b::/96, RFC 6052)
// or 6to4 (2002::/16, RFC 3056): it is the one that is banned.
func wrapped(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case !a.Is6():
		return netip.Addr{}, false
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
