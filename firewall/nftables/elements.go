//go:build linux

package nftables

import (
	"net/netip"
	"time"

	nft "github.com/google/nftables"

	"github.com/saslguard/saslguard/firewall"
)

// appendElement appends an element as the kernel keeps it: one of a hash set, or
// the two ends of an interval. One that has ended is left out.
func appendElement(to []nft.SetElement, e firewall.Element, now time.Time) []nft.SetElement {
	var left time.Duration // 0: permanent
	if !e.Until.IsZero() {
		if left = e.Until.Sub(now); left < time.Millisecond {
			return to
		}
	}
	if !e.Set().Interval() {
		return append(to, nft.SetElement{Key: e.Prefix.Addr().AsSlice(), Timeout: left})
	}
	first, beyond := bounds(e.Prefix)
	to = append(to, nft.SetElement{Key: first.AsSlice(), Timeout: left})
	if beyond.IsValid() {
		to = append(to, nft.SetElement{Key: beyond.AsSlice(), IntervalEnd: true})
	}
	return to
}

// bounds returns the first address of a prefix and the one after its last, which
// is not valid where there is none. The very first address of all is left out: it
// is the canary's, and no packet comes from it.
func bounds(p netip.Prefix) (first, beyond netip.Addr) {
	first = p.Addr()
	if first.IsUnspecified() {
		first = first.Next()
	}
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return first, last.Next()
}

// canary is a permanent element of every set: when it is gone, somebody has
// emptied the set. It is the address that no packet comes from.
func canary(set firewall.Set) []nft.SetElement {
	zero := netip.IPv6Unspecified()
	if set.IPv4() {
		zero = netip.IPv4Unspecified()
	}
	elements := []nft.SetElement{{Key: zero.AsSlice()}}
	if set.Interval() {
		elements = append(elements, nft.SetElement{Key: zero.Next().AsSlice(), IntervalEnd: true})
	}
	return elements
}

// setOf describes one of the table's sets.
func setOf(table *nft.Table, set firewall.Set) *nft.Set {
	s := &nft.Set{Table: table, Name: set.String(), KeyType: nft.TypeIP6Addr, HasTimeout: true, Interval: set.Interval()}
	if set.IPv4() {
		s.KeyType = nft.TypeIPAddr
	}
	return s
}

func (t *transaction) add(table *nft.Table, set firewall.Set, elements []nft.SetElement) {
	t.inParts(elements, func(part []nft.SetElement) error { return t.SetAddElements(setOf(table, set), part) })
}

func (t *transaction) remove(table *nft.Table, set firewall.Set, elements []nft.SetElement) {
	t.inParts(elements, func(part []nft.SetElement) error { return t.SetDeleteElements(setOf(table, set), part) })
}

// inParts calls f with as many elements as a message may have. The two ends of an
// interval stay together, but where the last one has no end.
func (t *transaction) inParts(elements []nft.SetElement, f func([]nft.SetElement) error) {
	for len(elements) > 0 && t.err == nil {
		n := min(len(elements), perMessage)
		if n < len(elements) && elements[n].IntervalEnd {
			n--
		}
		t.err = f(elements[:n])
		elements = elements[n:]
	}
}
