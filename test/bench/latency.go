package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/saslguard/saslguard/test/bench/load"
)

// latency is how long answers take at a rate that the machine can bear.
func (b *bench) latency(ctx context.Context) (err error) {
	var started []*child
	defer func() { err = errors.Join(err, stopAll(started...)) }()
	web, err := b.startBaseline(ctx, httpName)
	if err != nil {
		return err
	}
	started = append(started, web)
	lines, err := b.startBaseline(ctx, echoName)
	if err != nil {
		return err
	}
	started = append(started, lines)
	alone, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return err
	}
	started = append(started, alone.child)
	if err := b.introduce(ctx, alone); err != nil {
		return err
	}
	open := func(dialect func() load.Dialect, commands ...load.Command) load.Load {
		l := b.closed(dialect, b.crowd(commands...).Source)
		l.Rate = b.rate
		return l
	}
	logins, asks := open(dovecot, load.Allow, load.Report), open(postfix)
	type pair struct {
		what       string
		ours, bare *contender
		beside     string
		target     *target
	}
	of := func(what string, d *daemon, server netip.AddrPort, l load.Load, bare *child, beside string, most float64) pair {
		return pair{what, d.measured(what, server, l), bare.measured(beside, l), beside, atMost(most)}
	}
	pairs := []pair{
		of("Dovecot allow and report", alone, alone.dovecot, logins, web, bareHTTP, 2),
		of("Postfix decision", alone, alone.postfix, asks, lines, bareEcho, 2),
	}
	if shared, redis, err := b.startShared(ctx); err != nil {
		return err
	} else if shared != nil {
		started = append(started, redis, shared.child)
		p := of("Dovecot allow and report, Redis", shared, shared.dovecot, logins, web, bareHTTP, 5)
		p.ours.store = redis
		pairs = append(pairs, p)
	}
	var all []*contender
	for _, p := range pairs {
		all = append(all, p.ours, p.bare)
	}
	if err := b.contest(ctx, b.rounds, all...); err != nil {
		return err
	}
	for _, p := range pairs {
		what := fmt.Sprintf("%s at %.0f/s", p.what, b.rate)
		b.add(figure{part: "latency", what: what + ", median", unit: millis, ours: p.ours.p50, beside: p.beside, baseline: p.bare.p50})
		b.add(figure{part: "latency", what: what + ", p99", unit: millis, ours: p.ours.p99, beside: p.beside, baseline: p.bare.p99, target: p.target})
		b.add(figure{part: "latency", what: what + ", p99.9", unit: millis, ours: p.ours.p999, beside: p.beside, baseline: p.bare.p999})
		b.add(figure{part: "latency", what: what + ", processor time", unit: microseconds, ours: p.ours.cpu})
		if p.ours.store != nil {
			b.add(figure{part: "latency", what: what + ", of Redis's processor", unit: microseconds, ours: p.ours.storeCPU})
		}
	}
	return nil
}

// startShared starts a saslguard whose store is a Redis, and makes it know the clients.
// Where there is no Redis there is none.
func (b *bench) startShared(ctx context.Context) (*daemon, *child, error) {
	if !installed(redisServer) {
		b.note("Redis is not installed: what needs it was not measured")
		return nil, nil, nil
	}
	redis, err := b.startRedis(ctx)
	if err != nil {
		return nil, nil, err
	}
	d, err := b.startDaemon(ctx, settings{redis: redis.addr})
	if err != nil {
		return nil, nil, errors.Join(err, redis.stop())
	}
	if err := b.introduce(ctx, d); err != nil {
		return nil, nil, errors.Join(err, stopAll(redis, d.child))
	}
	return d, redis, nil
}
