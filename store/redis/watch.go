package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

const (
	// readCount is how many changes one read fetches.
	readCount = 1000
	// gapPause is how long a watcher that lost changes waits before it reads the
	// ledger anew, so that it does not do that without end while it cannot keep up.
	gapPause = 200 * time.Millisecond
)

// errGap says that changes were lost: the stream no longer holds them, or is not
// the one that was being read.
var errGap = errors.New("changes of the ledger were lost")

// watcher is one call of Watch.
type watcher struct {
	*ledger
	blocking goredis.UniversalClient
	tell     func(store.Event) error
	refusal  error // what tell returned

	ledgerName string // once a snapshot is complete

	at     store.Position // the last change seen
	number int64          // its number; the next change has the next one
}

// Watch implements store.Ledger. f is called by the goroutine that calls Watch,
// and may take its time: changes wait in Redis, and a watcher that lags too far
// behind is given a new snapshot. It ends with ctx's error, f's,
// store.ErrClosed, or what Redis or the network said; in the last case whoever
// called goes on with what he knows, and calls again.
func (l *ledger) Watch(ctx context.Context, f func(store.Event) error) error {
	if l.ended() {
		return store.ErrClosed
	}
	blocking, err := connectBlocking(l.cfg)
	if err != nil {
		return err
	}
	defer func() { _ = blocking.Close() }() // after the other Close it is closed already
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(inner, func() { _ = blocking.Close() })
	go func() {
		select {
		case <-l.done:
			cancel()
		case <-inner.Done():
		}
	}()

	w := &watcher{ledger: l, blocking: blocking, tell: f}
	err = w.follow(inner)
	switch {
	case w.refusal != nil:
		return w.refusal
	case ctx.Err() != nil:
		return ctx.Err()
	case l.ended():
		return store.ErrClosed
	}
	return fmt.Errorf("following the ledger: %w", err)
}

// follow alternates between snapshots and changes until something fails.
func (w *watcher) follow(ctx context.Context) error {
	for {
		err := w.snapshot(ctx)
		if err == nil {
			err = w.changes(ctx, time.Now().Add(w.cfg.Resync))
		}
		if err != nil && !errors.Is(err, errGap) {
			return err
		}
		if err != nil {
			w.log.Warn("changes of the ledger were lost; it is read anew", zap.String("position", w.at.String()))
			select {
			case <-time.After(gapPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// changes tells changes as they come, until a time.
func (w *watcher) changes(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		n, err := w.read(ctx, min(blockFor, w.cfg.Resync))
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		// Nothing new may also mean that the stream is gone, or that a server took
		// over which knows less than the one before.
		last, number, err := w.last(ctx)
		if err != nil {
			return err
		}
		if last.Compare(w.at) < 0 || last == w.at && number != w.number {
			return errGap
		}
	}
	return nil
}

// read tells the changes that follow the last one, and returns how many there
// were. If there are none it waits for some; a negative wait is none.
func (w *watcher) read(ctx context.Context, wait time.Duration) (int, error) {
	timed, cancel := context.WithTimeout(ctx, max(wait, 0)+watchTimeout)
	defer cancel()
	streams, err := w.blocking.XRead(timed, &goredis.XReadArgs{
		Streams: []string{w.keys[keyChanges]}, ID: w.at.String(), Count: readCount, Block: wait,
	}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for _, s := range streams {
		for _, m := range s.Messages {
			if err := w.change(ctx, m); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// last returns the id and the number of the last change; zeros if there is none.
// Both come from one command, so that they belong together.
func (w *watcher) last(ctx context.Context) (store.Position, int64, error) {
	messages, err := w.blocking.XRevRangeN(ctx, w.keys[keyChanges], "+", "-", 1).Result()
	if err != nil || len(messages) == 0 {
		return store.Position{}, 0, err
	}
	c, err := decodeChange(messages[0])
	return c.id, c.number, err
}

// change tells one change.
func (w *watcher) change(ctx context.Context, m goredis.XMessage) error {
	c, err := decodeChange(m)
	if err != nil {
		return err
	}
	if c.number != w.number+1 {
		return errGap
	}
	event, err := c.event()
	if err != nil {
		w.log.Warn("a change of the ledger cannot be read and is passed over", zap.Error(err))
		event = store.Event{Kind: store.Reached, Position: c.id}
	}
	if err := w.send(ctx, event); err != nil {
		return err
	}
	w.at, w.number = c.id, c.number
	w.publish()
	return nil
}

// send tells an event, unless the watch is over.
func (w *watcher) send(ctx context.Context, e store.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.refusal = w.tell(e); w.refusal != nil {
		return w.refusal
	}
	return nil
}

// publish makes known how far the watcher has come.
func (w *watcher) publish() {
	if w.ledgerName != "" { // before, it is in the middle of a snapshot
		w.known.Store(&known{name: w.ledgerName, at: w.at, number: w.number})
	}
}

// Position is the last change that a watch of this ledger has told; zero before
// any.
func (l *ledger) Position() store.Position {
	if k := l.known.Load(); k != nil {
		return k.at
	}
	return store.Position{}
}
