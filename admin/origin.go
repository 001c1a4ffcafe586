package admin

import (
	"context"
	"net/netip"
	"time"
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
