package failover_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// mood is how a remote store behaves.
type mood int32

const (
	well    mood = iota
	failing      // every call fails at once
	hanging      // no call returns before its ctx ends
	losing       // every call is carried out, and its answer lost
	slow         // every call takes nearly all of its deadline
)

var errBroken = errors.New("broken pipe")

// remote is one host's way to the store that hosts share.
type remote struct {
	inner *memory.Store
	now   func() time.Time
	mood  atomic.Int32
	calls atomic.Int64

	mu      sync.Mutex
	leaving context.CancelFunc   // ends the watch
	lifts   map[string]time.Time // handed over
}

func (r *remote) be(m mood) {
	r.mood.Store(int32(m))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving != nil && m != well && m != slow {
		r.leaving()
	}
}

func (r *remote) behave(ctx context.Context, f func() error) error {
	r.calls.Add(1)
	switch mood(r.mood.Load()) {
	case failing:
		return errBroken
	case hanging:
		<-ctx.Done()
		return ctx.Err()
	case losing:
		_ = f()
		<-ctx.Done()
		return ctx.Err()
	case slow:
		time.Sleep(deadline * 9 / 10)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

func (r *remote) Do(ctx context.Context, ops []store.Op, out []store.Standing) error {
	return r.behave(ctx, func() error { return r.inner.Do(context.Background(), ops, out) })
}

func (r *remote) ForgetClient(ctx context.Context, p netip.Prefix) error {
	return r.behave(ctx, func() error { return r.inner.ForgetClient(context.Background(), p) })
}

func (r *remote) ForgetAccount(ctx context.Context, account string) (n int, err error) {
	err = r.behave(ctx, func() error { n, err = r.inner.ForgetAccount(context.Background(), account); return err })
	return n, err
}

func (r *remote) Put(ctx context.Context, e store.Entry) (got store.Entry, err error) {
	err = r.behave(ctx, func() error { got, err = r.inner.Put(context.Background(), e); return err })
	return got, err
}

func (r *remote) Remove(ctx context.Context, e store.Entry) (found bool, err error) {
	err = r.behave(ctx, func() error { found, err = r.inner.Remove(context.Background(), e); return err })
	return found, err
}

func (r *remote) PutPosition(ctx context.Context, e store.Entry) (got store.Entry, at store.Position, err error) {
	err = r.behave(ctx, func() error { got, at, err = r.inner.PutPosition(context.Background(), e); return err })
	return got, at, err
}

func (r *remote) RemovePosition(ctx context.Context, e store.Entry) (found bool, at store.Position, err error) {
	err = r.behave(ctx, func() error { found, at, err = r.inner.RemovePosition(context.Background(), e); return err })
	return found, at, err
}

func (r *remote) Watch(ctx context.Context, f func(store.Event) error) error {
	if mood(r.mood.Load()) == failing {
		return errBroken
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.leaving = cancel
	r.mu.Unlock()
	return r.behave(watching, func() error {
		err := r.inner.Watch(watching, f)
		if ctx.Err() == nil && watching.Err() != nil {
			return errBroken
		}
		return err
	})
}

// PutAll and RemoveAll do for a few entries what store/redis does for many.
func (r *remote) PutAll(ctx context.Context, entries []store.Entry) error {
	return r.behave(ctx, func() error {
		there := entriesOf(r.inner)
		for _, e := range entries {
			old, known := there[name(&e)]
			switch {
			case !e.Since.After(r.liftedAt(&e)):
				continue
			case !known:
			case e.Kind != store.AutomaticBan:
				if !e.Since.After(old.Since) {
					continue
				}
			case old.Until.IsZero() || !e.Until.IsZero() && old.Until.After(e.Until):
				continue
			}
			if err := r.inner.Mirror(context.Background(), []store.Event{{Kind: store.Put, Entry: e}}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *remote) RemoveAll(ctx context.Context, removed []store.Event) error {
	return r.behave(ctx, func() error {
		there := entriesOf(r.inner)
		for _, e := range removed {
			r.mu.Lock()
			if r.lifts == nil {
				r.lifts = map[string]time.Time{}
			}
			r.lifts[name(&e.Entry)] = e.At
			r.mu.Unlock()
			if old, known := there[name(&e.Entry)]; known && !old.Since.After(e.At) {
				if _, err := r.inner.Remove(context.Background(), e.Entry); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (r *remote) liftedAt(e *store.Entry) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lifts[name(e)]
}

func (r *remote) Probe(ctx context.Context) (at time.Time, err error) {
	err = r.behave(ctx, func() error { at = r.now(); return nil })
	return at, err
}

func (r *remote) Followed(string, store.Position) {}

func (r *remote) Key() [16]byte                   { return r.inner.Key() }
func (r *remote) Close(ctx context.Context) error { return nil }

func name(e *store.Entry) string { return string(rune(e.Kind)) + e.Prefix.String() + e.Account }

// entriesOf is what a ledger holds.
func entriesOf(l store.Ledger) map[string]store.Entry {
	synced := errors.New("synced")
	entries := map[string]store.Entry{}
	_ = l.Watch(context.Background(), func(e store.Event) error {
		switch e.Kind {
		case store.Put:
			entries[name(&e.Entry)] = e.Entry
		case store.Synced:
			return synced
		}
		return nil
	})
	return entries
}
