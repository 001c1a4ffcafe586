package firewall

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// ask has Run carry something out, and waits until it has. After an error Run may
// still be at it: what it writes is not to be read.
func (a *Agent) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case a.requests <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status is what the agent does, with what the backend has counted.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	var err error
	var packets, octets uint64
	if m, ok := a.backend.(Measurer); ok {
		if late := a.ask(ctx, func() { packets, octets, err = m.Denied(ctx) }); late != nil {
			return Status{}, late
		}
	}
	a.mu.Lock()
	s := a.state
	a.mu.Unlock()
	s.Packets, s.Octets = packets, octets
	return s, err
}

// Rates lists the sources that the limits of new connections know.
func (a *Agent) Rates(ctx context.Context) ([]Rate, error) {
	m, ok := a.backend.(Measurer)
	if !ok {
		return nil, fmt.Errorf("the backend %s has no limits of new connections", a.backend.Name())
	}
	var rates []Rate
	var err error
	if late := a.ask(ctx, func() { rates, err = m.Rates(ctx) }); late != nil {
		return nil, late
	}
	return rates, err
}

// Pause takes everything out of the firewall, or with keep leaves it as it is, and
// changes nothing from then on: not for new bans, and not when another program
// changes it. It lasts for a time, or with 0 until Resume or a restart.
func (a *Agent) Pause(ctx context.Context, keep bool, lasts time.Duration) error {
	return a.try(ctx, func() error {
		a.hold.paused, a.hold.keep, a.hold.until = true, keep, time.Time{}
		if lasts > 0 {
			a.hold.until = a.now().Add(lasts)
		}
		a.log.Info("paused", zap.Bool("bans_stay", keep), zap.Time("until", a.hold.until))
		if !keep {
			return a.withdraw(ctx)
		}
		a.say(nil)
		return nil
	})
}

// try is ask for what can fail.
func (a *Agent) try(ctx context.Context, f func() error) error {
	var err error
	if late := a.ask(ctx, func() { err = f() }); late != nil {
		return late
	}
	return err
}

// withdraw takes everything out of the firewall. When that fails it is tried again
// as long as nothing is to be in force.
func (a *Agent) withdraw(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	a.stale, a.cause = true, "it was paused"
	err := a.backend.Remove(timed)
	switch {
	case err != nil:
		a.metrics.errors.Inc()
		if !a.leftover {
			a.pause = 0
			a.log.Error("what is in the firewall could not be removed; it is tried again", zap.Error(err))
		}
		a.pause = min(max(2*a.pause, time.Second), lastPause)
		a.leftover, a.retryAt = true, a.now().Add(a.pause)
	case a.leftover:
		a.log.Info("what was in the firewall is removed")
		a.leftover, a.pause, a.retryAt = false, 0, time.Time{}
	}
	a.say(err)
	return err
}

// withdrawAgain is withdraw, if it has failed and is due.
func (a *Agent) withdrawAgain(ctx context.Context) {
	if a.leftover && a.hold.empty() && !a.now().Before(a.retryAt) {
		_ = a.withdraw(ctx) // said when it failed first
	}
}

// Resume ends a pause, and brings back what was flushed.
func (a *Agent) Resume(ctx context.Context) error {
	return a.ask(ctx, func() {
		a.log.Info("resumed")
		a.resume(ctx)
	})
}

func (a *Agent) resume(ctx context.Context) {
	a.hold.paused, a.hold.keep, a.hold.until = false, false, time.Time{}
	a.mu.Lock()
	clear(a.flushed)
	changes := a.reconcile(nil)
	a.mu.Unlock()
	a.rebuildNow("it was resumed")
	a.enforce(ctx, changes, time.Time{})
}

// Flush takes all bans out of the firewall that are in it now, and returns how
// many. They stay in force at Postfix and Dovecot. One that is made anew, with
// another end, is enforced again, and all are after Resume or a restart.
func (a *Agent) Flush(ctx context.Context) (int, error) {
	n := 0
	late := a.ask(ctx, func() {
		a.mu.Lock()
		for k, until := range a.entries {
			e := k.element(until)
			if _, enforced := a.shadow.get(e.Set(), k.prefix); enforced && k.kind != store.Allow {
				a.flushed[k] = until
				n++
			}
		}
		changes := a.reconcile(nil)
		a.mu.Unlock()
		a.log.Info("flushed", zap.Int("bans", n))
		a.enforce(ctx, changes, time.Time{})
	})
	if late != nil {
		return 0, late
	}
	return n, nil
}

// Reload takes over settings. What is wrong with them is the error, and then the
// old ones go on.
func (a *Agent) Reload(ctx context.Context, s Settings) error {
	return a.try(ctx, func() error {
		observed, empty := a.hold.observing, a.hold.empty()
		rebuilt := !sameLayout(&a.settings.Config, &s.Config)
		if err := a.take(s); err != nil {
			return err
		}
		a.mu.Lock()
		changes := a.reconcile(nil)
		a.mu.Unlock()
		if a.hold.empty() && !empty {
			return a.withdraw(ctx)
		}
		if rebuilt || observed {
			a.rebuildNow("the configuration has changed")
		}
		a.enforce(ctx, changes, time.Time{})
		return nil
	})
}

// sameLayout tells whether two configurations differ in nothing that is built
// once.
func sameLayout(a, b *Config) bool {
	return slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Hooks, b.Hooks) && a.Verdict == b.Verdict && a.Log == b.Log &&
		reflect.DeepEqual(a.Limits, b.Limits)
}
