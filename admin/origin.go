package admin

import (
	"context"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/admin/api"
)

// describeTimeout is how long an answer waits for whose an address is.
const describeTimeout = 3 * time.Second

// describe says where an address is from; somebody may be asked.
func (c *Control) describe(ctx context.Context, a netip.Addr) string {
	if c.options.Describe == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	return c.options.Describe(ctx, a)
}

// origin says where a prefix of a list is from; nobody is asked.
func (c *Control) origin(p netip.Prefix) string {
	if c.options.Known == nil || !p.IsValid() {
		return ""
	}
	return c.options.Known(p.Addr())
}

// locate says where the client of an event is from; nobody is asked.
func (c *Control) locate(e *api.Event) {
	a, err := netip.ParseAddr(e.Address)
	if err != nil {
		p, err := netip.ParsePrefix(e.Client)
		if err != nil {
			return
		}
		a = p.Addr()
	}
	e.From = c.origin(netip.PrefixFrom(a, a.BitLen()))
}
