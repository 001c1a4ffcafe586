package redis

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

// table is what a watcher makes of the events.
type table struct {
	mu                    sync.Mutex
	entries, next         map[string]store.Entry
	resets, synced, began int
	errs                  []error
}

// watchTable watches, again whenever it fails, until the test ends.
func watchTable(t testing.TB, l *ledger) *table {
	t.Helper()
	tab := &table{entries: map[string]store.Entry{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			tab.mu.Lock()
			tab.began++
			tab.mu.Unlock()
			err := l.Watch(ctx, tab.follow)
			tab.mu.Lock()
			tab.errs = append(tab.errs, err)
			tab.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the watch does not end")
		}
	})
	eventually(t, "the snapshot is complete", func() bool { return tab.count(&tab.synced) > 0 })
	return tab
}

func (t *table) follow(e store.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	into := t.entries
	if t.next != nil {
		into = t.next
	}
	switch e.Kind {
	case store.Reset:
		t.next = map[string]store.Entry{}
		t.resets++
	case store.Put:
		into[entryName(&e.Entry)] = e.Entry
	case store.Removed:
		delete(into, entryName(&e.Entry))
	case store.Synced:
		t.entries, t.next = t.next, nil
		t.synced++
	}
	return nil
}

func (t *table) count(n *int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *n
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

func (t *table) get(e store.Entry) store.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries[entryName(&e)]
}
