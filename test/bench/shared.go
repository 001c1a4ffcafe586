package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/test/bench/load"
)

// shared is what a Redis costs: nothing for who is banned or at home, a round trip for
// others.
func (b *bench) shared(ctx context.Context) (err error) {
	d, r, err := b.startShared(ctx)
	if err != nil || d == nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(r, d.child)) }()
	alone, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.stop()) }()
	if err := b.introduce(ctx, alone); err != nil {
		return err
	}
	banned := &load.Crowd{Mix: load.Mix{load.Banned: 1}, Sizes: b.sizes()}
	client := redis.NewClient(&redis.Options{Addr: r.addr.String()})
	defer client.Close()
	before, err := quietScripts(ctx, client)
	if err != nil {
		return err
	}
	l := b.closed(dovecot, banned.Source)
	with, without := d.measured("Redis", d.dovecot, l), alone.measured("memory", alone.dovecot, l)
	if err := b.contest(ctx, b.rounds, with, without); err != nil {
		return err
	}
	after, err := scripts(ctx, client)
	if err != nil {
		return err
	}
	b.add(figure{part: "redis", what: "Dovecot allow of banned clients, Redis", unit: perSecond, ours: with.perSecond, beside: "memory store", baseline: without.perSecond, target: ratioAtLeast(0.95)})
	// A host runs some by itself: it tells that it is alive, and hands events on.
	each := float64(after-before) / float64(with.asked)
	b.add(figure{part: "redis", what: "scripts that Redis ran meanwhile, for a thousand of them", unit: number, ours: series{1000 * each}, target: atMost(1)})

	known := &load.Crowd{Mix: load.Mix{load.Known: 1}, Sizes: b.sizes()}
	ours := d.measured("Redis", d.dovecot, b.closed(dovecot, known.Source))
	pings := r.measured("PING", b.closed(ping, known.Source))
	if err := b.contest(ctx, b.rounds, ours, pings); err != nil {
		return err
	}
	b.add(figure{part: "redis", what: "Dovecot allow of known clients, Redis", unit: perSecond, ours: ours.perSecond, beside: "Redis PING", baseline: pings.perSecond})
	return nil
}

// scripts is how many scripts a Redis has run: each question to the store is one.
func scripts(ctx context.Context, client *redis.Client) (int64, error) {
	info, err := client.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for name, text := range info["Commandstats"] {
		if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
			total += calls(text)
		}
	}
	return total, nil
}

// quietScripts is scripts once what was reported before has been written, and no more
// are run.
func quietScripts(ctx context.Context, client *redis.Client) (int64, error) {
	const silent = 500 * time.Millisecond
	before := int64(-1)
	for began := time.Now(); time.Since(began) < startWithin; time.Sleep(silent) {
		n, err := scripts(ctx, client)
		if err != nil || n == before {
			return n, err
		}
		before = n
	}
	return 0, errors.New("Redis runs scripts although nobody asks")
}

// calls reads calls=N,usec=… .
func calls(text string) (n int64) {
	const name = "calls="
	if len(text) < len(name) || text[:len(name)] != name {
		return 0
	}
	for _, c := range text[len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
