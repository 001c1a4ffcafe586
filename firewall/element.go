package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Layer is what an element does to packets from its addresses. The layers are
// looked at in this order, and the first one that has the address decides: the
// operator's ban, the allowlist, the automatic ban, as everywhere in saslguard.
type Layer uint8

// The layers.
const (
	Never       Layer = iota // pass: loopback, own and private addresses are never banned
	OperatorBan              // denied, whatever the allowlist says
	Allow                    // pass
	Ban                      // denied: an automatic ban
)

// String is the layer's name, as in logs and metrics.
func (l Layer) String() string {
	switch l {
	case Never:
		return "never"
	case OperatorBan:
		return "operator"
	case Allow:
		return "allow"
	case Ban:
		return "ban"
	}
	return fmt.Sprintf("layer %d", uint8(l))
}

// Denies tells whether the layer keeps packets out.
func (l Layer) Denies() bool { return l == OperatorBan || l == Ban }

// Element is a prefix in a layer.
type Element struct {
	Layer  Layer
	Prefix netip.Prefix // masked, and never an IPv4 address written as IPv6
	Until  time.Time    // zero: permanent
}

// Set is where an element is kept. Prefixes of one length go into hash sets,
// where they cannot overlap; all others into interval sets, which refuse
// overlaps.
type Set uint8

// The sets.
const (
	Never4 Set = iota
	Never6
	Operator4
	Operator6
	Allow4
	Allow6
	Ban4  // IPv4 addresses
	Net4  // other IPv4 prefixes
	Ban64 // IPv6 /64
	Ban6  // IPv6 addresses
	Net6  // other IPv6 prefixes
	Sets  // how many there are
)

// String is the set's name in the kernel.
func (s Set) String() string {
	return [...]string{
		"never4", "never6", "operator4", "operator6", "allow4", "allow6", "ban4", "net4", "ban64", "ban6", "net6", "?",
	}[min(s, Sets)]
}

// Interval tells whether it is an interval set.
func (s Set) Interval() bool { return s != Ban4 && s != Ban64 && s != Ban6 }

// IPv4 tells whether its prefixes are IPv4 ones.
func (s Set) IPv4() bool {
	return s == Never4 || s == Operator4 || s == Allow4 || s == Ban4 || s == Net4
}

// Set returns the set of an element.
func (e Element) Set() Set {
	four := e.Prefix.Addr().Is4()
	of := func(set4, set6 Set) Set {
		if four {
			return set4
		}
		return set6
	}
	switch e.Layer {
	case Never:
		return of(Never4, Never6)
	case OperatorBan:
		return of(Operator4, Operator6)
	case Allow:
		return of(Allow4, Allow6)
	}
	switch bits := e.Prefix.Bits(); {
	case four && bits == 32:
		return Ban4
	case bits == 64:
		return Ban64
	case bits == 128:
		return Ban6
	}
	return of(Net4, Net6)
}

// Change puts an element into force, or takes it out.
type Change struct {
	Remove bool
	// Element is the element; where it is removed, with the end that it has.
	Element
	// Had tells that a put changes the end of what is in force, which was Was.
	Had bool
	Was time.Time
}

// condense returns what a row of changes comes to: every prefix once, and what is
// removed before what is put. Before it and after it nothing overlaps in a set, and
// so nothing does in between.
func condense(changes []Change) []Change {
	if len(changes) < 2 {
		return changes
	}
	first, last := make(map[place]Change, len(changes)), make(map[place]Change, len(changes))
	order := make([]place, 0, len(changes))
	for _, c := range changes {
		p := place{c.Layer, c.Prefix}
		if _, seen := first[p]; !seen {
			first[p] = c
			order = append(order, p)
		}
		last[p] = c
	}
	var puts []Change
	removes := changes[:0]
	for _, p := range order {
		had, was := first[p].Had, first[p].Was
		if first[p].Remove {
			had, was = true, first[p].Until
		}
		c := last[p]
		switch {
		case !c.Remove:
			c.Had, c.Was = had, was
			puts = append(puts, c)
		case had:
			c.Until = was
			removes = append(removes, c)
		}
	}
	return append(removes, puts...)
}

// Traits are what a backend can do.
type Traits struct {
	// Layered: the order of the layers is kept. A backend without is given denying
	// layers only, and nothing that would deny what a layer before lets pass.
	Layered bool
	// Expires: elements end by themselves. A backend without is told to remove
	// them.
	Expires bool
}

// Backend brings elements into force. One goroutine calls it.
type Backend interface {
	// Name is the backend's name in the configuration.
	Name() string
	// Traits are what the backend can do; they never change.
	Traits() Traits
	// Replace brings exactly these elements into force, whatever was there
	// before; in one step where there is a way, so that nobody who was denied
	// and still is gets through meanwhile. No two of them overlap in one set.
	Replace(ctx context.Context, all []Element) error
	// Apply brings changes into force. Each prefix of a set is there once, and what
	// is removed comes first, so that nothing overlaps in between. To remove what
	// has ended is no error. After an error some may be in force: the caller
	// replaces all.
	Apply(ctx context.Context, changes []Change) error
	// Intact tells what is missing of what was brought into force, "" if
	// nothing is. It is quick: it is called every second.
	Intact(ctx context.Context) (missing string, err error)
	// Remove takes everything away.
	Remove(ctx context.Context) error
	// Close gives back what the backend holds; what is in force stays.
	Close(ctx context.Context) error
}

// Rate is a source of new connections, as the kernel knows it.
type Rate struct {
	Limit    int           // which of the limits, from 1
	Source   netip.Prefix  // an IPv4 address or an IPv6 /64
	Refused  uint64        // packets of connections beyond the limit
	Seen     time.Duration // since its last new connection
	Forgets  time.Duration // until it is forgotten, if no other comes
	Limiting bool          // something was refused
}

// Measurer is a backend that can tell what it does.
type Measurer interface {
	// Denied is how many packets and octets were denied since the last Replace.
	Denied(ctx context.Context) (packets, octets uint64, err error)
	// Rates lists the sources that the limits of new connections know.
	Rates(ctx context.Context) ([]Rate, error)
}

// Sessions ends connections that are established already.
type Sessions interface {
	// End ends the connections to these local ports from addresses that match,
	// at most limit of them, and returns how many.
	End(ctx context.Context, ports []uint16, match func(netip.Addr) bool, limit int) (int, error)
}
