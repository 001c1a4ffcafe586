package replay

import (
	"container/heap"
	"context"
	"sync"

	"github.com/saslguard/saslguard/store"
)

// ledger tells of a ban before Put returns. A store's own Watch tells a moment
// later, which is soon enough where attempts come in real time; here an hour of the
// log may pass in that moment.
type ledger struct {
	store.Ledger

	mu   sync.Mutex
	tell func(store.Event) error
	ends endings
}

// Put implements store.Ledger.
func (l *ledger) Put(ctx context.Context, e store.Entry) (store.Entry, error) {
	got, err := l.Ledger.Put(ctx, e)
	if err != nil {
		return got, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// What is over is told as well, or the guard's table would grow with the log.
	for len(l.ends) > 0 && !l.ends[0].Until.After(got.Since) {
		over := heap.Pop(&l.ends).(store.Entry)
		if err := l.tell(store.Event{Kind: store.Removed, Entry: over}); err != nil {
			return got, err
		}
	}
	if !got.Until.IsZero() {
		heap.Push(&l.ends, got)
	}
	return got, l.tell(store.Event{Kind: store.Put, Entry: got})
}

// Watch implements store.Ledger for the one watcher that there is. It begins with
// an empty ledger.
func (l *ledger) Watch(ctx context.Context, f func(store.Event) error) error {
	l.mu.Lock()
	l.tell = f
	err := f(store.Event{Kind: store.Reset})
	if err == nil {
		err = f(store.Event{Kind: store.Synced})
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// endings are the bans in force, the one that ends first on top; they implement
// heap.Interface.
type endings []store.Entry

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].Until.Before(e[j].Until) }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(store.Entry)) }
func (e *endings) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
