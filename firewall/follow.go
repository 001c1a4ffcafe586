package firewall

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// Pauses between attempts to follow the source.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// follow leaves the source's events for Run until ctx ends. What is in force
// stays while the source is away.
func (a *Agent) follow(ctx context.Context) {
	pause, away := time.Duration(0), false
	for {
		err := a.source.Watch(ctx, func(e store.Event) error {
			if e.Kind == store.Synced {
				if away {
					a.log.Info("bans arrive again")
				}
				pause, away = 0, false
			}
			select {
			case a.events <- heard{e, time.Now()}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, store.ErrClosed) {
			return // whoever closed it ends the agent too
		}
		a.metrics.sourceErrors.Inc()
		if !away {
			away = true
			a.log.Warn("bans do not arrive; what is in force stays, and it is tried again", zap.Error(err))
		}
		pause = min(max(2*pause, firstPause), lastPause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// hear takes over events and brings what follows from them into force.
func (a *Agent) hear(ctx context.Context, batch []heard) {
	var changes []Change
	everything := false
	a.mu.Lock()
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Kind == store.Reset:
			a.building = map[key]moment{}
			a.lost = a.synced && e.Ledger != a.ledger
			a.ledger = e.Ledger
		case e.Kind == store.Synced && a.building != nil:
			a.adopt()
			everything, a.reached = true, e.Position
		case e.Kind == store.Reached:
			if a.building == nil {
				a.reached = e.Position
			}
		case a.building != nil:
			note(a.building, &e.Event)
		default:
			a.reached = e.Position
			k, changed := note(a.entries, &e.Event)
			if !changed {
				continue
			}
			// An operator's ban takes the place of an automatic one where there is no more.
			if k.kind == store.Allow || k.kind == store.OperatorBan && a.bans() >= a.settings.Config.MaxBans {
				everything = true
			} else if !everything {
				changes = a.ban(k, changes)
			}
		}
	}
	if everything {
		changes = a.reconcile(changes)
	}
	a.mu.Unlock()
	a.enforce(ctx, changes, batch[0].at)
}

// adopt makes a complete snapshot the ledger that is enforced. Of a ledger that
// was lost the bans are not lifted: other hosts make them known again to the new
// one, which has then until its next snapshot.
func (a *Agent) adopt() {
	if a.lost {
		kept := 0
		for k, until := range a.entries {
			if _, there := a.building[k]; !there {
				a.building[k] = until
				kept++
			}
		}
		a.log.Warn("the ledger of bans is another one than before; what it does not have stays until it is read anew", zap.Int("kept", kept))
	}
	a.entries, a.building, a.lost = a.building, nil, false
	if !a.synced {
		a.synced = true
		a.want("all bans are known")
	}
}

// note brings an event into a table of entries. Entries of accounts, and bans
// that were only observed, are not for a firewall.
func note(entries map[key]moment, e *store.Event) (k key, changed bool) {
	entry := &e.Entry
	if !entry.Prefix.IsValid() || entry.Prefix != entry.Prefix.Masked() {
		return key{}, false
	}
	k = key{entry.Kind, entry.Prefix}
	old, there := entries[k]
	if e.Kind == store.Removed || entry.Observed {
		delete(entries, k)
		return k, there
	}
	until := momentOf(entry.Until)
	entries[k] = until
	return k, !there || old != until
}
