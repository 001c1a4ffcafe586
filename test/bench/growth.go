package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/saslguard/saslguard/test/bench/load"
)

// crowds and concurrency are between what the cost of an answer is measured.
var (
	crowds      = [...]int{1_000, 100_000, 1_000_000}
	concurrency = [...]int{1, 16, 128, 1024}
)

// growth is how the cost of an answer grows with the clients that are tracked and the
// connections that ask. A curve is the median of each number of connections.
func (b *bench) growth(ctx context.Context) (err error) {
	web, err := b.startBaseline(ctx, httpName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, web.stop()) }()
	var bare [len(concurrency)]series
	for _, clients := range crowds {
		clients = min(clients, b.clients)
		curve, base, err := b.grow(ctx, web, clients)
		if err != nil {
			return err
		}
		for i := range bare {
			bare[i] = append(bare[i], base[i]...)
		}
		b.curves = append(b.curves, curveOf(fmt.Sprintf("%s clients", short(clients)), curve))
		if clients == b.clients {
			break
		}
	}
	b.curves = append(b.curves, curveOf(bareHTTP, bare))
	return nil
}

// grow measures a saslguard that tracks so many clients.
func (b *bench) grow(ctx context.Context, web *child, clients int) (ours, bare [len(concurrency)]series, err error) {
	d, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return ours, bare, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := b.report(ctx, d, &load.Reports{Kind: load.Known, Clients: clients, Tries: 1}); err != nil {
		return ours, bare, err
	}
	crowd := &load.Crowd{Mix: load.Mix{load.Known: 1}, Sizes: load.Sizes{load.Known: clients}}
	for i, n := range concurrency {
		l := b.closed(dovecot, crowd.Source)
		l.Connections, l.Threads = n, min(b.threads, n)
		us, it := d.measured("saslguard", d.dovecot, l), web.measured(httpName, l)
		if err := b.contest(ctx, b.rounds, us, it); err != nil {
			return ours, bare, err
		}
		ours[i], bare[i] = us.perSecond, it.perSecond
		b.add(figure{part: "growth", what: fmt.Sprintf("Dovecot allow, %s clients tracked, %d connections", short(clients), n),
			unit: perSecond, ours: us.perSecond, beside: bareHTTP, baseline: it.perSecond})
	}
	return ours, bare, nil
}

// short writes 1k and 1M.
func short(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	default:
		return fmt.Sprint(n)
	}
}

// curve is a line of the chart: answers a second for each number of connections.
type curve struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

func curveOf(name string, all [len(concurrency)]series) curve {
	c := curve{Name: name}
	for _, s := range all {
		c.Values = append(c.Values, s.median())
	}
	return c
}
