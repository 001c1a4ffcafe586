package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/saslguard/saslguard/test/bench/load"
)

// start is how long it takes from the start of the program until a client that is
// banned is refused, with many bans in the state file and with one.
func (b *bench) start(ctx context.Context) error {
	many, err := b.withBans(ctx, b.bans)
	if err != nil {
		return err
	}
	one, err := b.withBans(ctx, 1)
	if err != nil {
		return err
	}
	var full, empty series
	for range b.rounds {
		for _, s := range []struct {
			state string
			to    *series
		}{{many, &full}, {one, &empty}} {
			took, err := b.timeStart(ctx, s.state)
			if err != nil {
				return err
			}
			*s.to = append(*s.to, took.Seconds())
		}
	}
	b.add(figure{part: "start", what: fmt.Sprintf("until a client is refused, %d bans", b.bans), unit: seconds, ours: full, beside: "one ban", baseline: empty, target: atMost(1)})
	return nil
}

// withBans returns a state directory with so many bans.
func (b *bench) withBans(ctx context.Context, n int) (string, error) {
	d, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return "", err
	}
	err = b.banAll(ctx, d, n)
	return filepath.Join(d.dir, "state"), errors.Join(err, d.stop())
}

// timeStart starts a saslguard on a state directory and asks about its first banned
// client until it is refused.
func (b *bench) timeStart(ctx context.Context, state string) (took time.Duration, err error) {
	began := time.Now()
	d, err := b.startDaemon(ctx, settings{state: state})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	banned := &load.Crowd{Mix: load.Mix{load.Banned: 1}}
	l := load.Load{Dialect: postfix, Source: banned.Source, Connections: 1, Questions: 1, Duration: startWithin}
	err = d.until(ctx, func() error {
		r, err := l.Run(ctx, d.postfix)
		if err == nil && r.Said[load.Refuse] != 1 {
			err = errors.New("the banned client is not refused")
		}
		return err
	})
	return time.Since(began), err
}
