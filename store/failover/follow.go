package failover

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

const (
	mirrorBatch = 2000 // events in one transaction of the local ledger
	firstPause  = 100 * time.Millisecond
	lastPause   = 5 * time.Second
)

// follow keeps the local ledger true to the remote one. A watch that runs when
// the breaker opens goes on if it can; a new one is begun only while the breaker is
// closed: what waits is handed over before a snapshot is taken.
func (s *Store) follow(ctx context.Context) {
	f := follower{Store: s}
	for {
		for change := s.breaker.change(); !s.breaker.isUp(); change = s.breaker.change() {
			select {
			case <-change:
			case <-ctx.Done():
				return
			}
		}
		again, err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if again {
			continue
		}
		f.lost(ctx, err)
		if !sleep(ctx, f.pause) {
			return
		}
	}
}

// follower is what the following goroutine knows beside the store.
type follower struct {
	*Store
	pause time.Duration
	told  bool // that bans cannot be followed
}

// watch follows the remote ledger until that fails, or until a snapshot is
// wanted again.
func (f *follower) watch(ctx context.Context) (again bool, err error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	f.rewatch.Store(&cancel)
	events := make(chan store.Event, mirrorBatch)
	mirrored := make(chan struct{})
	go func() {
		defer close(mirrored)
		f.mirror(ctx, events)
	}()
	err = f.remote.Watch(watching, func(e store.Event) error {
		if e.Kind == store.Synced {
			f.found()
		}
		select {
		case events <- e:
			return nil
		case <-watching.Done():
			return watching.Err()
		}
	})
	close(events)
	<-mirrored
	return watching.Err() != nil, err
}

// mirror brings events into the local ledger, as many at once as have come.
func (f *follower) mirror(ctx context.Context, events <-chan store.Event) {
	batch := make([]store.Event, 0, mirrorBatch)
	for e := range events {
		batch = append(batch[:0], f.skew.eventHere(e))
		for more := true; more && len(batch) < mirrorBatch; {
			select {
			case e, more = <-events:
				if more {
					batch = append(batch, f.skew.eventHere(e))
				}
			default:
				more = false
			}
		}
		f.mirrored.note(f.local.Mirror(ctx, batch), f.log)
		if slices.ContainsFunc(batch, func(e store.Event) bool { return e.Kind == store.Synced }) && len(f.local.Pending(1)) > 0 {
			f.kick() // a Redis that came back empty is told what it has lost
		}
	}
}

// found takes note of a complete snapshot.
func (f *follower) found() {
	f.pause = 0
	if f.told {
		f.told = false
		f.log.Info("bans of the other hosts arrive again")
	}
}

// lost takes note of a watch that failed. That may be the first to tell of a
// Redis that nobody asks anything right now.
func (f *follower) lost(ctx context.Context, err error) {
	f.pause = min(max(2*f.pause, firstPause), lastPause)
	if !f.breaker.isUp() {
		return
	}
	if silent := f.ask(ctx, f.probe); silent == nil && !f.told && f.pause > firstPause {
		f.told = true
		f.log.Error("bans of the other hosts no longer arrive; it is tried again", zap.Error(err))
	}
}
