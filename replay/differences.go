package replay

import (
	"cmp"
	"net/netip"
	"slices"
)

// harm is the worst that would have been done to a client.
type harm uint8

const (
	harmNothing harm = iota
	harmDelay
	harmRefuse
	harmBan
)

// String returns the harm's name in a report.
func (h harm) String() string {
	return [...]string{"nothing", "delay", "refuse", "ban"}[h]
}

func (c *client) harm() harm {
	switch {
	case c.bannedFrom != 0:
		return harmBan
	case c.refusedFrom != 0:
		return harmRefuse
	case c.delayedFrom != 0:
		return harmDelay
	}
	return harmNothing
}

// differences finds the clients on which two simulations of the same log do not
// agree. Where one set of rules takes for one client what are several to the other,
// it is about the larger one, and the worst that happened to any of them.
func differences(a, b *simulation, top int) *Differences {
	type both struct {
		failures [2]int
		harm     [2]harm
	}
	clients := map[netip.Prefix]*both{}
	for i, s := range []*simulation{a, b} {
		for _, c := range s.stats.clients.subjects {
			larger, _ := a.rules.Subjects(c.prefix.Addr())
			if other, _ := b.rules.Subjects(larger.Addr()); other.Bits() < larger.Bits() {
				larger = other
			}
			x := clients[larger]
			if x == nil {
				x = &both{}
				clients[larger] = x
			}
			x.failures[i] += c.failures
			x.harm[i] = max(x.harm[i], c.harm())
		}
	}
	type row struct {
		Difference
		prefix netip.Prefix
	}
	var rows []row
	for p, x := range clients {
		// Delays harm nobody: only who is refused or banned is worth a line.
		if x.harm[0] != x.harm[1] && max(x.harm[0], x.harm[1]) >= harmRefuse {
			rows = append(rows, row{Difference{
				Client: clientName(p), Failures: max(x.failures[0], x.failures[1]),
				First: x.harm[0].String(), Second: x.harm[1].String(),
			}, p})
		}
	}
	slices.SortFunc(rows, func(x, y row) int {
		return cmp.Or(cmp.Compare(y.Failures, x.Failures), x.prefix.Compare(y.prefix))
	})
	d := &Differences{Listed: len(rows), Clients: []Difference{}}
	for i, r := range rows {
		if top > 0 && i == top {
			break
		}
		d.Clients = append(d.Clients, r.Difference)
	}
	return d
}
