package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/test/bench/load"
)

// contender is a server under one kind of load, and what was measured of it: a value
// a round.
type contender struct {
	name   string
	server netip.AddrPort
	load   load.Load
	child  *child  // nil: its processor time is not measured
	daemon *daemon // nil: its allocations are not measured
	store  *child  // the Redis that it asks, if there is one

	perSecond, p50, p99, p999 series
	cpu, storeCPU             series // microseconds of an answer
	allocations               series // number of an answer
	asked                     int64  // questions in all, those of the warm-up included
}

// contest has each contender answer in turn, in each round, so that a machine that is
// busy is busy for all. Who begins changes.
func (b *bench) contest(ctx context.Context, rounds int, contenders ...*contender) error {
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			if err := c.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (c *contender) run(ctx context.Context) error {
	before, err := c.spent()
	if err != nil {
		return err
	}
	r, err := c.load.Run(ctx, c.server)
	if err != nil {
		return err
	}
	if r.Unheard > 0 || r.Answers == 0 {
		return fmt.Errorf("%d answers, and %d questions were not answered", r.Answers, r.Unheard)
	}
	after, err := c.spent()
	if err != nil {
		return err
	}
	all := float64(r.All)
	c.asked += r.All
	c.perSecond = append(c.perSecond, r.PerSecond())
	c.p50 = append(c.p50, milliseconds(r.Quantile(50)))
	c.p99 = append(c.p99, milliseconds(r.Quantile(99)))
	c.p999 = append(c.p999, milliseconds(r.Quantile(99.9)))
	c.cpu = append(c.cpu, microsecondsOf(after.cpu-before.cpu)/all)
	c.storeCPU = append(c.storeCPU, microsecondsOf(after.store-before.store)/all)
	c.allocations = append(c.allocations, (after.mallocs-before.mallocs)/all)
	return nil
}

// costs is what a contender has used so far.
type costs struct {
	cpu, store time.Duration
	mallocs    float64
}

func (c *contender) spent() (s costs, err error) {
	if c.child != nil {
		if s.cpu, err = c.child.cpu(); err != nil {
			return s, err
		}
	}
	if c.store != nil {
		if s.store, err = c.store.cpu(); err != nil {
			return s, err
		}
	}
	if c.daemon != nil {
		s.mallocs, err = c.daemon.metric("go_memstats_mallocs_total")
	}
	return s, err
}

func microsecondsOf(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// measured turns the daemon into a contender.
func (d *daemon) measured(name string, server netip.AddrPort, l load.Load) *contender {
	return &contender{name: name, server: server, load: l, child: d.child, daemon: d}
}

// measured turns a baseline into a contender.
func (c *child) measured(name string, l load.Load) *contender {
	return &contender{name: name, server: c.addr, load: l, child: c}
}

func dovecot() load.Dialect { return new(load.Dovecot) }
func postfix() load.Dialect { return load.Postfix{} }
func ping() load.Dialect    { return load.Redis{} }
