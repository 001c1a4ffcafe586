package memory

import (
	"context"
	"sync"

	"github.com/saslguard/saslguard/store"
)

// watcherQueue is how many changes a watcher may lag behind before it gets a
// snapshot instead.
const watcherQueue = 4096

// watcher is one call of Watch. Changes are left in its queue; nobody waits for
// it to take them.
type watcher struct {
	mu    sync.Mutex
	queue []store.Event
	lost  bool          // the queue has overflown: a snapshot is due
	wake  chan struct{} // holds one token while there is something to do
}

// tell leaves changes for the watcher. Back says that the ledger's position has
// gone back, which only a snapshot may tell.
func (w *watcher) tell(events []store.Event, back bool) {
	w.mu.Lock()
	if back || w.lost || len(w.queue)+len(events) > watcherQueue {
		w.queue, w.lost = nil, true
	} else {
		w.queue = append(w.queue, events...)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the changes since the last call, and whether some were lost.
func (w *watcher) take() (events []store.Event, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, lost = w.queue, w.lost
	w.queue = nil
	return events, lost
}

// Watch implements store.Ledger. f is called by the goroutine that calls Watch,
// and may take its time: a watcher that lags is given a new snapshot. It ends
// with ctx's error, f's, or store.ErrClosed.
func (s *Store) Watch(ctx context.Context, f func(store.Event) error) error {
	w := &watcher{wake: make(chan struct{}, 1), lost: true}
	defer s.ledger.leave(w)
	for {
		if s.closed.Load() {
			return store.ErrClosed
		}
		events, lost := w.take()
		if lost {
			events = s.ledger.snapshot(w)
		}
		for i := range events {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(events[i]); err != nil {
				return err
			}
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return store.ErrClosed
		}
	}
}

// snapshot registers the watcher, if it is not yet, and returns the ledger as
// events. Every later change reaches the watcher's queue.
func (l *ledger) snapshot(w *watcher) []store.Event {
	now := millis(l.store.nowMillis())
	l.mu.Lock()
	entries := make([]*kept, 0, len(l.entries))
	for _, e := range l.entries {
		entries = append(entries, e)
	}
	l.watchers[w] = struct{}{}
	position := l.position
	w.mu.Lock()
	w.queue, w.lost = nil, false
	w.mu.Unlock()
	l.mu.Unlock()

	events := make([]store.Event, 0, len(entries)+2)
	events = append(events, store.Event{Kind: store.Reset})
	for _, e := range entries {
		if e.Live(now) {
			events = append(events, store.Event{Kind: store.Put, Entry: e.Entry})
		}
	}
	return append(events, store.Event{Kind: store.Synced, Position: position})
}

func (l *ledger) leave(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
}
