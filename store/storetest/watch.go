package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/saslguard/saslguard/store"
)

// table is what a watcher makes of the events: the way guard and the firewall
// keep theirs.
type table struct {
	mu      sync.Mutex
	entries map[string]store.Entry
	next    map[string]store.Entry // of the snapshot being received
	synced  int
	removed int
	reached store.Position
	errs    []string
	cancel  context.CancelFunc
	ended   chan error
}

func (h *harness) watch() *table {
	ctx, cancel := context.WithCancel(context.Background())
	t := &table{entries: map[string]store.Entry{}, cancel: cancel, ended: make(chan error, 1)}
	go func() { t.ended <- h.Store.Watch(ctx, t.follow) }()
	h.Cleanup(cancel)
	h.eventually("the snapshot is complete", func() bool { return t.count(&t.synced) > 0 })
	return t
}

func (t *table) follow(e store.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	into := t.entries
	if t.next != nil {
		into = t.next
	}
	name := fmt.Sprint(e.Entry.Kind, e.Entry.Prefix, e.Entry.Account)
	switch e.Kind {
	case store.Reset:
		t.next = map[string]store.Entry{}
	case store.Put:
		into[name] = e.Entry
	case store.Removed:
		delete(into, name)
		t.removed++
	case store.Synced:
		if t.next == nil {
			t.errs = append(t.errs, "Synced without Reset")
		}
		t.entries, t.next = t.next, nil
		t.synced++
	}
	if t.synced == 0 && t.next == nil {
		t.errs = append(t.errs, "an event before the first Reset")
	}
	if t.next == nil {
		if e.Position.Compare(t.reached) < 0 {
			t.errs = append(t.errs, fmt.Sprintf("back from %v to %v", t.reached, e.Position))
		}
		t.reached = e.Position
	}
	return nil
}

// at is the position that the watcher has come to.
func (t *table) at() store.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached
}

func (t *table) count(n *int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *n
}

// find returns the entry of a prefix and of a kind.
func (t *table) find(kind store.EntryKind, p netip.Prefix) (store.Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[fmt.Sprint(kind, p, "")]
	return e, ok
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

func (h *harness) follows(t *table, p netip.Prefix, want bool) {
	h.Helper()
	h.eventually(fmt.Sprintf("the watcher has %v: %v", p, want), func() bool {
		_, ok := t.find(store.AutomaticBan, p)
		return ok == want
	})
}

var watchTests = map[string]func(*harness){
	"a snapshot comes first": func(h *harness) {
		one := h.put(ban(client(1)))
		h.put(store.Entry{Kind: store.Allow, Account: alice})
		t := h.watch()
		got, ok := t.find(store.AutomaticBan, client(1))
		same(h, "there", ok, true)
		same(h, "entry", got, one)
		same(h, "entries", t.size(), 2)
	},
	"changes follow": func(h *harness) {
		t := h.watch()
		same(h, "empty", t.size(), 0)
		want := h.put(ban(client(1)))
		h.follows(t, client(1), true)
		got, _ := t.find(store.AutomaticBan, client(1))
		same(h, "entry", got, want)
		h.remove(ban(client(1)))
		h.follows(t, client(1), false)
		same(h, "protocol", fmt.Sprint(t.errs), "[]")
	},
	"a position says that a change is known": func(h *harness) {
		t := h.watch()
		last := t.at()
		change := func(what string, grows bool, at store.Position) {
			h.Helper()
			if grows && at.Compare(last) <= 0 || at.Compare(last) < 0 {
				h.Errorf("%s: position %v after %v", what, at, last)
			}
			h.eventually(what+" is known", func() bool { return t.at().Compare(at) >= 0 })
			last = at
		}
		put := func(e store.Entry) store.Position {
			h.Helper()
			_, at, err := h.Store.PutPosition(context.Background(), e)
			if err != nil {
				h.Fatal(err)
			}
			return at
		}
		change("a ban", true, put(ban(client(1))))
		_, there := t.find(store.AutomaticBan, client(1))
		same(h, "the ban", there, true)
		change("the same ban", false, put(ban(client(1))))
		h.Advance(-time.Minute)
		change("another, by a clock set back", true, put(ban(client(2))))
		_, there = t.find(store.AutomaticBan, client(2))
		same(h, "the other ban", there, true)
		_, at, err := h.Store.RemovePosition(context.Background(), ban(client(1)))
		change("an unban", true, at)
		_, there = t.find(store.AutomaticBan, client(1))
		same(h, "the lifted ban", there, false)
		same(h, "error", err, nil)
		_, at, err = h.Store.RemovePosition(context.Background(), ban(client(1)))
		change("an unban of nothing", false, at)
		same(h, "error", err, nil)
		same(h, "a snapshot's position", h.watch().at().Compare(last) >= 0, true)
		same(h, "protocol", fmt.Sprint(t.errs), "[]")
		if h.Reopen == nil {
			return
		}
		h.reopen()
		t = h.watch()
		same(h, "not back over a restart", t.at().Compare(last) >= 0, true)
		change("after a restart", true, put(ban(client(3))))
		same(h, "protocol", fmt.Sprint(t.errs), "[]")
	},
	"an entry whose time is over is removed": func(h *harness) {
		t := h.watch()
		got := h.put(ban(client(1)))
		h.follows(t, client(1), true)
		h.Advance(h.lasts(got) + time.Second)
		h.follows(t, client(1), false)
		same(h, "not in a snapshot", h.watch().size(), 0)
	},
	"an observed ban that is enforced is told again": func(h *harness) {
		t := h.watch()
		e := ban(client(1))
		e.Observed = true
		h.put(e)
		h.follows(t, client(1), true)
		h.put(ban(client(1)))
		h.eventually("it is enforced", func() bool {
			got, ok := t.find(store.AutomaticBan, client(1))
			return ok && !got.Observed
		})
	},
	"all watchers see all of many changes": func(h *harness) {
		early, other := h.watch(), h.watch() // their positions never go back
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := range 50 {
					h.put(ban(client(1000*w + i)))
				}
			})
		}
		late := h.watch()
		all.Wait()
		for _, t := range []*table{early, other, late} {
			h.eventually("400 entries", func() bool { return t.size() == 400 })
			same(h, "protocol", fmt.Sprint(t.errs), "[]")
		}
	},
	"a watcher that sleeps holds up nobody and catches up": func(h *harness) {
		release, asleep := make(chan struct{}), make(chan struct{})
		t := &table{entries: map[string]store.Entry{}}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			_ = h.Store.Watch(ctx, func(e store.Event) error {
				if e.Kind == store.Synced && t.count(&t.synced) == 0 {
					close(asleep)
					<-release
				}
				return t.follow(e)
			})
		}()
		<-asleep
		for i := range 300 {
			h.put(ban(client(i)))
		}
		h.remove(ban(client(7)))
		close(release)
		h.eventually("299 entries", func() bool { return t.size() == 299 })
	},
	"a watch ends with its context": func(h *harness) {
		t := h.watch()
		t.cancel()
		if err := <-t.ended; !errors.Is(err, context.Canceled) {
			h.Errorf("ended with %v", err)
		}
	},
	"a watch ends with its function's error": func(h *harness) {
		broken := errors.New("broken")
		err := h.Store.Watch(context.Background(), func(store.Event) error { return broken })
		if !errors.Is(err, broken) {
			h.Errorf("ended with %v", err)
		}
	},
}
