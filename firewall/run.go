package firewall

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	pollEvery    = time.Second     // whether all is still there
	ownEvery     = 5 * time.Second // this host's addresses
	sweepEvery   = time.Minute
	compareEvery = 5 * time.Minute
	mendedEvery  = time.Minute // what another program does again and again is said
	stopTimeout  = 5 * time.Second
)

// Run keeps the firewall true until ctx ends. Then it removes what is in force, or
// keeps it, as configured. Everything that fails is tried again: Run returns
// ctx's error, joined with what went wrong at the stop.
func (a *Agent) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.follow(inner) })
	if a.sessions != nil {
		running.Go(func() { a.ender.run(inner) })
	}
	a.work(ctx)
	cancel()
	running.Wait()
	return errors.Join(ctx.Err(), a.stop())
}

// work does what is to be done, one thing after the other.
func (a *Agent) work(ctx context.Context) {
	if a.hold.on() {
		a.withdraw(ctx)
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	due := &schedule{own: time.Now().Add(ownEvery), sweep: time.Now().Add(sweepEvery), compare: time.Now().Add(compareEvery)}
	var batch []heard
	for {
		select {
		case e := <-a.events:
			batch = append(batch[:0], e)
			for len(batch) < batchSize && len(a.events) > 0 {
				batch = append(batch, <-a.events)
			}
			a.hear(ctx, batch)
			clear(batch)
		case f := <-a.requests:
			f()
		case <-poll.C:
			a.tick(ctx, due)
		case <-ctx.Done():
			return
		}
	}
}

// schedule is when things that are not done every second are due.
type schedule struct{ own, sweep, compare time.Time }

// over tells whether it is time, and then sets the next.
func over(due *time.Time, every time.Duration) bool {
	if time.Now().Before(*due) {
		return false
	}
	*due = time.Now().Add(every)
	return true
}

// tick does what time asks for.
func (a *Agent) tick(ctx context.Context, due *schedule) {
	if !a.hold.until.IsZero() && !a.now().Before(a.hold.until) {
		a.log.Info("the pause is over")
		a.resume(ctx)
	}
	now := momentOf(a.now())
	a.mu.Lock()
	everything := over(&due.compare, compareEvery) || a.allowEnd.over(now)
	if over(&due.own, ownEvery) && a.moved() {
		everything = true
	}
	changes := a.shadow.expire(now, nil)
	if !a.backend.Traits().Expires {
		changes = a.shadow.sweep(now, changes)
	} else if over(&due.sweep, sweepEvery) {
		a.shadow.sweep(now, nil)
	}
	if everything && a.synced {
		changes = a.reconcile(changes)
	}
	a.mu.Unlock()
	a.withdrawAgain(ctx)
	a.heal(ctx)
	a.enforce(ctx, changes, time.Time{})
}

// moved tells whether this host's addresses have changed.
func (a *Agent) moved() bool {
	own, err := a.own()
	if err != nil || slices.Equal(own, a.spared.own) {
		return false
	}
	a.log.Info("the addresses of this host have changed", zap.Stringers("addresses", own))
	a.spared = newSpared(own, a.settings.Config.Private)
	return true
}

// heal looks whether what was built is still there.
func (a *Agent) heal(ctx context.Context) {
	if a.hold.on() || !a.synced || a.stale {
		return
	}
	timed, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	missing, err := a.backend.Intact(timed)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.want("it could not be looked at")
		a.failed(err)
	case missing != "":
		a.metrics.lost.Inc()
		a.want(missing + " was gone")
		a.mended++
		if a.now().Sub(a.mendedAt) < mendedEvery {
			return
		}
		a.log.Warn("another program has changed the firewall; it is built anew (saslguard firewall pause keeps it from that)",
			zap.String("missing", missing), zap.Int("times", a.mended))
		a.mended, a.mendedAt = 0, a.now()
	}
}

// stop leaves the firewall as configured.
func (a *Agent) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var err error
	if a.settings.Config.AtStop == AtStopRemove && (!a.hold.on() || a.leftover) {
		if err = a.backend.Remove(ctx); errors.Is(err, ErrPermission) {
			err = nil // nothing was built, and it was said
		}
	}
	return errors.Join(err, a.backend.Close(ctx))
}
