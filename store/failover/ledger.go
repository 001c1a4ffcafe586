package failover

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// Put implements store.Ledger. The remote store decides how long a ban lasts,
// since all hosts count its times together. While it is away the local one
// does, and the entry is handed over later, also by the next process.
func (s *Store) Put(ctx context.Context, e store.Entry) (store.Entry, error) {
	got, _, err := s.PutPosition(ctx, e)
	return got, err
}

// PutPosition implements store.Ledger.
func (s *Store) PutPosition(ctx context.Context, e store.Entry) (store.Entry, store.Position, error) {
	if s.closed.Load() {
		return store.Entry{}, store.Position{}, store.ErrClosed
	}
	if err := e.Check(); err != nil {
		return store.Entry{}, store.Position{}, err
	}
	if s.breaker.isUp() {
		var got store.Entry
		var at store.Position
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			got, at, err = s.remote.PutPosition(ctx, s.skew.entryThere(e))
			return err
		})
		if err == nil {
			got = s.skew.entryHere(got)
			// Durable there, and it comes back by the stream too: an error here
			// is the state file's to tell of.
			_, err := s.local.Adopt(ctx, store.Event{Kind: store.Put, Entry: got, Position: at})
			s.mirrored.note(err, s.log)
			return got, at, nil
		}
		if refusal(err) {
			return store.Entry{}, store.Position{}, err
		}
	}
	got, err := s.local.Put(ctx, e)
	s.kick()
	return got, store.Position{}, err
}

// Remove implements store.Ledger. While the remote store is away the entry is
// removed here and, later, there.
func (s *Store) Remove(ctx context.Context, e store.Entry) (bool, error) {
	found, _, err := s.RemovePosition(ctx, e)
	return found, err
}

// RemovePosition implements store.Ledger.
func (s *Store) RemovePosition(ctx context.Context, e store.Entry) (bool, store.Position, error) {
	if s.closed.Load() {
		return false, store.Position{}, store.ErrClosed
	}
	if err := e.CheckName(); err != nil {
		return false, store.Position{}, err
	}
	if s.breaker.isUp() {
		var there bool
		var at store.Position
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			there, at, err = s.remote.RemovePosition(ctx, e)
			return err
		})
		if err == nil {
			here, err := s.local.Adopt(ctx, store.Event{Kind: store.Removed, Entry: e, Position: at, At: s.options.Now()})
			return there || here, at, err
		}
	}
	found, err := s.local.RemovePending(ctx, e)
	s.kick()
	return found, store.Position{}, err
}

// Watch implements store.Ledger. It is the local ledger that is watched: it is
// there whatever Redis does.
func (s *Store) Watch(ctx context.Context, f func(store.Event) error) error {
	return s.local.Watch(ctx, f)
}

// trouble is whether the local ledger can be kept true to the remote one. It is
// logged when that changes.
type trouble struct {
	mu   sync.Mutex
	told bool
}

func (t *trouble) note(err error, log *zap.Logger) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrClosed) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && !t.told {
		log.Error("not every ban of the other hosts can be kept here", zap.Error(err))
	}
	t.told = err != nil
}
