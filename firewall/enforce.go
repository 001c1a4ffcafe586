package firewall

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// States of an agent, as in store.AgentState.
const (
	Starting  = "starting"  // the bans are not known yet; what was in force before stays
	Running   = "running"   //
	Paused    = "paused"    // by an operator
	Observing = "observing" // mode: observe
	Failing   = "failing"   // the backend does not do what it is told
)

// hold is why nothing is brought into force.
type hold struct {
	observing bool
	paused    bool
	keep      bool      // paused, and what is in force stays
	until     time.Time // of the pause; zero: until it is resumed
}

func (h *hold) on() bool { return h.observing || h.paused }

// empty tells whether nothing is to be in force.
func (h *hold) empty() bool { return h.observing || h.paused && !h.keep }

const (
	// backendTimeout is for one thing the backend is told.
	backendTimeout = time.Minute
	// firstMend and lastMend are the pauses between tries of one that fails.
	firstMend, lastMend = time.Second, 30 * time.Second
	// rebuildFrom is with how many changes it is cheaper to replace everything.
	rebuildFrom = 20_000
)

// want has everything replaced by what the shadow has, and says why.
func (a *Agent) want(cause string) {
	if !a.stale {
		a.stale, a.cause, a.pause, a.retryAt = true, cause, 0, time.Time{}
	}
}

// rebuildNow is want, whatever failed before.
func (a *Agent) rebuildNow(cause string) {
	a.stale = false
	a.want(cause)
}

// enforce tells the backend what has changed since it was told last. heard is
// when the first of it was heard of; zero where nobody waits for it.
func (a *Agent) enforce(ctx context.Context, changes []Change, heard time.Time) {
	if a.hold.on() || !a.synced {
		a.stale = a.stale || len(changes) > 0
		a.say(nil)
		return
	}
	if len(changes) > rebuildFrom {
		a.want("much has changed")
	}
	if !a.stale && len(changes) > 0 {
		if err := a.apply(ctx, changes); err != nil {
			if ctx.Err() != nil {
				return
			}
			a.log.Warn("the firewall did not take a change; it is built anew", zap.Error(err))
			a.want("a change was not taken")
		}
	}
	if a.stale {
		a.rebuild(ctx)
	}
	if !a.stale {
		a.arrived(changes, heard)
	}
}

// apply tells the backend of changes.
func (a *Agent) apply(ctx context.Context, changes []Change) error {
	ctx, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	told := condense(slices.Clone(changes))
	if !a.backend.Traits().Layered {
		changes, told = told, nil
		for _, c := range changes {
			if c.Layer.Denies() {
				told = append(told, c)
			}
		}
	}
	if len(told) == 0 {
		return nil
	}
	if err := a.backend.Apply(ctx, told); err != nil {
		a.metrics.errors.Inc()
		return err
	}
	for _, c := range told {
		if c.Layer.Denies() {
			a.metrics.changed(c.Remove)
		}
	}
	return nil
}

// rebuild replaces everything, unless that was tried a moment ago.
func (a *Agent) rebuild(ctx context.Context) {
	if a.now().Before(a.retryAt) {
		return
	}
	a.mu.Lock()
	all := a.shadow.all(momentOf(a.now()))
	a.mu.Unlock()
	if !a.backend.Traits().Layered {
		denying := all[:0]
		for _, e := range all {
			if e.Layer.Denies() {
				denying = append(denying, e)
			}
		}
		all = denying
	}
	timed, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	began := time.Now()
	err := a.backend.Replace(timed, all)
	if err != nil {
		if ctx.Err() == nil {
			a.failed(err)
		}
		return
	}
	a.metrics.rebuilds.Inc()
	a.metrics.rebuildSeconds.Observe(time.Since(began).Seconds())
	level := zap.InfoLevel
	if a.mended > 0 && a.now().Sub(a.mendedAt) < mendedEvery {
		level = zap.DebugLevel // another program fights it, which is said once a minute
	}
	a.log.Log(level, "the firewall has been built", zap.String("backend", a.backend.Name()), zap.String("because", a.cause),
		zap.Int("bans", a.bans()), zap.Duration("took", time.Since(began)))
	a.stale, a.leftover, a.pause = false, false, 0
	a.say(nil)
	if a.settings.Config.EndSessions {
		a.ender.all()
	}
}

// failed takes note of a backend that does not work, and when it is tried again.
func (a *Agent) failed(err error) {
	a.metrics.errors.Inc()
	a.pause = min(max(2*a.pause, firstMend), lastMend)
	a.retryAt = a.now().Add(a.pause)
	a.mu.Lock()
	again := a.state.State == Failing && a.state.Error == store.Printable(err.Error())
	a.mu.Unlock()
	a.say(err)
	if again {
		return
	}
	if errors.Is(err, ErrPermission) {
		a.log.Error("bans are not in the firewall: this process may not change it; run `saslguard firewall` by its unit (saslguard setup systemd/saslguard-firewall.service), "+
			"or give this one AmbientCapabilities=CAP_NET_ADMIN and the same in CapabilityBoundingSet=", zap.Error(err))
		return
	}
	a.log.Error("bans are not in the firewall; it is tried again", zap.Error(err), zap.Duration("in", a.pause))
}

// arrived takes note that the ledger is enforced as far as it was heard.
func (a *Agent) arrived(changes []Change, heard time.Time) {
	if len(changes) > 0 && !heard.IsZero() {
		a.metrics.seconds.Observe(time.Since(heard).Seconds())
	}
	if a.settings.Config.EndSessions {
		a.ender.these(changes)
	}
	a.say(nil)
}

// say keeps the state for those who ask.
func (a *Agent) say(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.state
	s.At = a.now().Truncate(time.Millisecond)
	s.Bans, s.Allowed, s.Flushed = a.bans(), a.shadow.count(Allow), len(a.flushed)
	s.Until = a.hold.until
	switch {
	case err != nil:
		s.State, s.Error, s.FailedAt = Failing, store.Printable(err.Error()), s.At
	case a.leftover:
		// What could not be removed is tried again.
	case a.hold.observing:
		s.State = Observing
	case a.hold.paused:
		s.State = Paused
	case !a.synced:
		s.State = Starting
	case a.stale:
		// What failed is tried again; nothing new to say.
	default:
		s.State, s.Position = Running, a.reached
	}
	if a.hold.empty() && !a.leftover {
		s.Bans = 0
	}
}

// Status is what an agent says of itself; its error is the last one, also when
// it is over.
type Status struct {
	store.AgentState
	FailedAt time.Time `json:"failed_at,omitzero"` // when the error was
	Allowed  int       `json:"allowed"`            // entries of the allowlist
	Flushed  int       `json:"flushed"`            // bans that an operator took out of the firewall
	Until    time.Time `json:"until,omitzero"`     // when a pause ends by itself
	Packets  uint64    `json:"denied_packets"`     // since the firewall was built last
	Octets   uint64    `json:"denied_octets"`
}

// State is what the agent says of itself, for the other hosts.
func (a *Agent) State() store.AgentState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.AgentState
}
