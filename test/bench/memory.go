package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/saslguard/saslguard/test/bench/load"
)

const (
	failures = 5    // of each attacking client
	atOnce   = 8000 // reports under way: a few less than the guard's queue holds
)

// report reports all that there is to report, once, and waits until it is counted. No
// more is under way at a time than saslguard queues, or some would be dropped.
func (b *bench) report(ctx context.Context, d *daemon, all *load.Reports) error {
	counted, err := d.attempts()
	if err != nil {
		return err
	}
	for left := all.Clients * all.Tries; left > 0; {
		n := min(left, atOnce)
		l := load.Load{Dialect: dovecot, Source: all.Source, Connections: min(16, n), Questions: int64(n), Duration: startWithin}
		r, err := l.Run(ctx, d.dovecot)
		if err != nil {
			return err
		}
		if r.All != int64(n) {
			return fmt.Errorf("%d of %d reports were answered", r.All, n)
		}
		left -= n
		counted += float64(n)
		if err := d.settle(ctx, counted); err != nil {
			return err
		}
	}
	return nil
}

// memory is what attacking clients take, with a network and an account of their own.
func (b *bench) memory(ctx context.Context) (err error) {
	d, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	before, err := d.resident()
	if err != nil {
		return err
	}
	if err := b.report(ctx, d, &load.Reports{Kind: load.Known, Clients: b.clients, Tries: failures}); err != nil {
		return err
	}
	after, err := d.resident()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("resident, %d clients with %d failures each", b.clients, failures)
	b.add(figure{part: "memory", what: what, unit: megabytes, ours: series{float64(after) / 1e6}, beside: "the same just started", baseline: series{float64(before) / 1e6}, target: atMost(400)})
	b.add(figure{part: "memory", what: "of that for each client", unit: octets, ours: series{float64(after-before) / float64(b.clients)}})
	return nil
}
