package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// kernel is what a backend makes of what it is told: sets that refuse overlaps and
// end elements by themselves.
type kernel map[Set]map[netip.Prefix]moment

// apply carries out changes as nftables does, and fails where it would.
func (k kernel) apply(changes []Change, now moment) error {
	for _, c := range changes {
		set := c.Set()
		if k[set] == nil {
			k[set] = map[netip.Prefix]moment{}
		}
		for p, until := range k[set] {
			if until.over(now) {
				delete(k[set], p)
			}
		}
		old, there := k[set][c.Prefix]
		switch {
		case c.Remove && !there && !momentOf(c.Until).over(now):
			return fmt.Errorf("%s is removed from %s, which does not have it", c.Prefix, set)
		case c.Remove:
			delete(k[set], c.Prefix)
			continue
		case there != (c.Had && !momentOf(c.Was).over(now)), there && old != momentOf(c.Was):
			return fmt.Errorf("%s is put into %s: had %v until %d, has %v until %d", c.Prefix, set, c.Had, momentOf(c.Was), there, old)
		case momentOf(c.Until).over(now):
			continue
		}
		for p := range k[set] {
			if set.Interval() && p != c.Prefix && p.Overlaps(c.Prefix) {
				return fmt.Errorf("%s overlaps %s in %s", c.Prefix, p, set)
			}
		}
		k[set][c.Prefix] = momentOf(c.Until)
	}
	return nil
}

// denies is what the rules make of the sets.
func (k kernel) denies(a netip.Addr, now moment) bool {
	order := []Set{Never6, Operator6, Allow6, Ban64, Ban6, Net6}
	if a.Is4() {
		order = []Set{Never4, Operator4, Allow4, Ban4, Net4}
	}
	for _, set := range order {
		for p, until := range k[set] {
			if p.Contains(a) && !until.over(now) {
				return set.layer().Denies()
			}
		}
	}
	return false
}

// truth is what is to be so: every element that was put and has not ended.
type truth map[place]moment

func (m truth) denies(a netip.Addr, now moment) bool {
	for layer := Never; layer <= Ban; layer++ {
		for p, until := range m {
			if p.layer == layer && p.prefix.Contains(a) && !until.over(now) {
				return layer.Denies()
			}
		}
	}
	return false
}

// ending tells whether something ends that has the address.
func (m truth) ending(a netip.Addr, now moment) bool {
	for p, until := range m {
		if p.prefix.Contains(a) && until.over(now+lead) && !until.over(now) {
			return true
		}
	}
	return false
}

// TestShadow drives the shadow with random bans, one inside the other, and holds
// what a kernel makes of its changes to the plain truth.
func TestShadow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, k, m := newShadow(), kernel{}, truth{}
		now := moment(1_000_000)
		for step := range 300 {
			var changes []Change
			for range 1 + r.IntN(4) {
				p := place{Layer(r.IntN(4)), somePrefix(r)}
				until := moment(0)
				if r.IntN(4) > 0 {
					until = now + moment(r.IntN(20_000))
				}
				if r.IntN(3) == 0 {
					delete(m, p)
					changes = s.remove(p.layer, p.prefix, changes)
				} else {
					m[p] = until
					changes = s.put(Element{p.layer, p.prefix, until.time()}, changes)
				}
			}
			if err := k.apply(condense(changes), now); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			now += moment(r.IntN(1000))
			if err := k.apply(condense(s.expire(now, s.sweep(now, nil))), now); err != nil {
				t.Fatalf("seed %d, step %d, expiring: %v", seed, step, err)
			}
			for range 20 {
				a := somePrefix(r).Addr()
				if m.ending(a, now) {
					continue // a wide prefix may end a moment early, for others inside it
				}
				want := m.denies(a, now)
				if got := k.denies(a, now); got != want {
					t.Fatalf("seed %d, step %d: %s is denied: %v, want %v", seed, step, a, got, want)
				}
				if got := s.denies(a, now.time()); got != want {
					t.Fatalf("seed %d, step %d: the shadow denies %s: %v, want %v", seed, step, a, got, want)
				}
			}
		}
		shown := kernel{}
		for _, e := range s.all(now) {
			if err := shown.apply([]Change{{Element: e}}, now); err != nil {
				t.Fatalf("seed %d: built anew: %v", seed, err)
			}
		}
	}
}

// somePrefix is one of few, so that they meet.
func somePrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(16))})
		return netip.PrefixFrom(a, []int{32, 31, 30, 29, 28, 24, 0}[r.IntN(7)]).Masked()
	}
	a := netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", r.IntN(4), r.IntN(4)))
	return netip.PrefixFrom(a, []int{128, 127, 126, 64, 63, 62, 48, 0}[r.IntN(8)]).Masked()
}

// A ban inside a wider one is in force when that one ends, also if nobody is there
// any more to say so: where both are in sets of their own, both are in the kernel.
func TestHostsOutliveNets(t *testing.T) {
	t.Parallel()
	s := newShadow()
	wide := Element{Ban, netip.MustParsePrefix("203.0.113.0/24"), time.UnixMilli(10_000)}
	host := Element{Ban, netip.MustParsePrefix("203.0.113.1/32"), time.UnixMilli(99_000)}
	if changes := s.put(host, s.put(wide, nil)); len(changes) != 2 {
		t.Errorf("the kernel is told %v", changes)
	}
	if !s.denies(host.Prefix.Addr(), time.UnixMilli(20_000)) {
		t.Error("the ban ends with the wider one")
	}
}

func TestSetOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Set{
		"192.0.2.1/32": Ban4, "192.0.2.0/24": Net4, "0.0.0.0/0": Net4, "2001:db8::/64": Ban64, "2001:db8::1/128": Ban6,
		"2001:db8::/48": Net6, "2001:db8::/65": Net6, "::/0": Net6, "2001:db8::/32": Net6,
	} {
		p := netip.MustParsePrefix(text)
		if got := (Element{Layer: Ban, Prefix: p}).Set(); got != want {
			t.Errorf("%s goes into %s", text, got)
		}
		for layer, sets := range map[Layer][2]Set{Never: {Never4, Never6}, OperatorBan: {Operator4, Operator6}, Allow: {Allow4, Allow6}} {
			want := sets[1]
			if p.Addr().Is4() {
				want = sets[0]
			}
			if got := (Element{Layer: layer, Prefix: p}).Set(); got != want || got.layer() != layer || got.IPv4() != p.Addr().Is4() {
				t.Errorf("%s of the layer %s goes into %s", text, layer, got)
			}
		}
	}
}
