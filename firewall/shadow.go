package firewall

import (
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// shadow is what the backend has been told, and what is held back because a
// wider prefix covers it. Kernels are never asked for it: a dump of a set that
// grows meanwhile lacks elements without saying so.
//
// Interval sets refuse overlaps, so that of prefixes one inside the other only
// the widest is shown to the backend. When that one ends or is removed, those
// inside come into force in the same step.
type shadow struct {
	hosts [Sets]map[netip.Prefix]moment // of hash sets
	nets  [Sets]*bart.Table[subnet]     // of interval sets
	next  moment                        // nothing in nets ends before it; 0: nothing ends
	size  [Sets]int
}

// subnet is a prefix of an interval set.
type subnet struct {
	until moment
	shown bool
}

// moment is a time in Unix milliseconds; 0 is never.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixMilli())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// over tells whether an end has come.
func (m moment) over(now moment) bool { return m != 0 && m <= now }

func newShadow() *shadow {
	s := new(shadow)
	for set := range Sets {
		if set.Interval() {
			s.nets[set] = new(bart.Table[subnet])
		} else {
			s.hosts[set] = map[netip.Prefix]moment{}
		}
	}
	return s
}

// get returns the end of an element, and whether it is there.
func (s *shadow) get(set Set, p netip.Prefix) (moment, bool) {
	if set.Interval() {
		n, ok := s.nets[set].Get(p)
		return n.until, ok
	}
	m, ok := s.hosts[set][p]
	return m, ok
}

// put notes an element and appends what the backend has to be told.
func (s *shadow) put(e Element, changes []Change) []Change {
	set, until := e.Set(), momentOf(e.Until)
	old, there := s.get(set, e.Prefix)
	if there && old == until {
		return changes
	}
	if !there {
		s.size[set]++
	}
	if !set.Interval() {
		s.hosts[set][e.Prefix] = until
		return append(changes, Change{Element: e, Had: there, Was: old.time()})
	}
	s.endsAt(until)
	t := s.nets[set]
	if covered(t, e.Prefix) {
		t.Insert(e.Prefix, subnet{until: until})
		return changes
	}
	var inside []netip.Prefix // not changed while they are walked
	for p, n := range t.Subnets(e.Prefix) {
		if n.shown && p != e.Prefix {
			inside = append(inside, p)
			changes = append(changes, Change{Remove: true, Element: Element{e.Layer, p, n.until.time()}})
		}
	}
	for _, p := range inside {
		t.Modify(p, func(n subnet, _ bool) (subnet, bool) { n.shown = false; return n, false })
	}
	t.Insert(e.Prefix, subnet{until: until, shown: true})
	return append(changes, Change{Element: e, Had: there, Was: old.time()})
}

// endsAt notes that something in an interval set ends.
func (s *shadow) endsAt(until moment) {
	if until != 0 && (s.next == 0 || until < s.next) {
		s.next = until
	}
}

// covered tells whether a wider prefix is shown.
func covered(t *bart.Table[subnet], p netip.Prefix) bool {
	for wider, n := range t.Supernets(p) {
		if wider != p && n.shown {
			return true
		}
	}
	return false
}

// remove forgets an element and appends what the backend has to be told.
func (s *shadow) remove(layer Layer, p netip.Prefix, changes []Change) []Change {
	e := Element{Layer: layer, Prefix: p}
	set := e.Set()
	until, there := s.get(set, p)
	if !there {
		return changes
	}
	e.Until = until.time()
	s.size[set]--
	if !set.Interval() {
		delete(s.hosts[set], p)
		return append(changes, Change{Remove: true, Element: e})
	}
	t := s.nets[set]
	n, _ := t.Get(p)
	t.Delete(p)
	if !n.shown {
		return changes
	}
	changes = append(changes, Change{Remove: true, Element: e})
	return s.uncover(layer, p, changes)
}

// uncover shows the widest of the prefixes inside one that is gone.
func (s *shadow) uncover(layer Layer, gone netip.Prefix, changes []Change) []Change {
	t := s.nets[Element{Layer: layer, Prefix: gone}.Set()]
	var shown []netip.Prefix
	for p, n := range t.Subnets(gone) { // wider ones first
		if last := len(shown) - 1; last >= 0 && shown[last].Contains(p.Addr()) {
			continue
		}
		shown = append(shown, p)
		changes = append(changes, Change{Element: Element{Layer: layer, Prefix: p, Until: n.until.time()}})
	}
	for _, p := range shown {
		t.Modify(p, func(n subnet, _ bool) (subnet, bool) { n.shown = true; return n, false })
	}
	return changes
}

// lead is how much earlier a wide prefix ends for what is inside it to come into
// force without a gap: expire is called every second.
const lead = 1500

// expire forgets what has ended in interval sets, and appends what comes into
// force because of that: of a prefix with others inside it a moment before it ends.
// The backend ends elements itself; told to remove one that has ended, it does not
// mind.
func (s *shadow) expire(now moment, changes []Change) []Change {
	if !s.next.over(now + lead) {
		return changes
	}
	s.next = 0
	for set := range Sets {
		if !set.Interval() {
			continue
		}
		var hidden, shown []netip.Prefix
		for p, n := range s.nets[set].All() {
			switch {
			case !n.shown && n.until.over(now+lead):
				hidden = append(hidden, p)
			case n.shown && (n.until.over(now) || n.until.over(now+lead) && s.inside(set, p)):
				shown = append(shown, p)
			default:
				s.endsAt(n.until)
			}
		}
		// The hidden ones first, or they would be shown.
		for _, p := range append(hidden, shown...) {
			changes = s.remove(set.layer(), p, changes)
		}
	}
	return changes
}

// inside tells whether there are others inside a prefix.
func (s *shadow) inside(set Set, p netip.Prefix) bool {
	for other := range s.nets[set].Subnets(p) {
		if other != p {
			return true
		}
	}
	return false
}

// sweep forgets what has ended in hash sets, and appends that, for backends that
// do not end elements themselves.
func (s *shadow) sweep(now moment, changes []Change) []Change {
	for set, hosts := range s.hosts {
		for p, until := range hosts {
			if until.over(now) {
				changes = s.remove(Set(set).layer(), p, changes)
			}
		}
	}
	return changes
}

// layer is the layer whose elements the set keeps.
func (s Set) layer() Layer {
	switch s {
	case Never4, Never6:
		return Never
	case Operator4, Operator6:
		return OperatorBan
	case Allow4, Allow6:
		return Allow
	}
	return Ban
}

// all lists what is to be in force.
func (s *shadow) all(now moment) []Element {
	n := 0
	for _, size := range s.size {
		n += size
	}
	all := make([]Element, 0, n)
	s.each(func(e Element, shown bool) {
		if shown && !momentOf(e.Until).over(now) {
			all = append(all, e)
		}
	})
	return all
}

// each calls f with everything, in no order.
func (s *shadow) each(f func(e Element, shown bool)) {
	for set := range Sets {
		layer := set.layer()
		for p, until := range s.hosts[set] {
			f(Element{layer, p, until.time()}, true)
		}
		if t := s.nets[set]; t != nil {
			for p, n := range t.All() {
				f(Element{layer, p, n.until.time()}, n.shown)
			}
		}
	}
}

// empty tells whether it has nothing.
func (s *shadow) empty() bool { return s.size == [Sets]int{} }

// count is how many elements of a layer are in force or covered by a wider one.
func (s *shadow) count(layer Layer) (n int) {
	for set := range Sets {
		if set.layer() == layer {
			n += s.size[set]
		}
	}
	return n
}

// holds tells whether a set has a prefix that covers an address.
func (s *shadow) holds(set Set, a netip.Addr, now moment) bool {
	if set.Interval() {
		for _, n := range s.nets[set].Supernets(netip.PrefixFrom(a, a.BitLen())) {
			if !n.until.over(now) {
				return true
			}
		}
		return false
	}
	bits := a.BitLen()
	if set == Ban64 {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	until, ok := s.hosts[set][p]
	return ok && !until.over(now)
}
