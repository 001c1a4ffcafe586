package redis

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

// TestNoChangeIsLost bans 20,000 clients while the watcher's connections are
// killed again and again.
func TestNoChangeIsLost(t *testing.T) {
	const bans, writers = 6_000, 16
	srv, ctx := startServer(t, "--appendonly", "no"), context.Background()
	l, other := openLedger(t, testConfig(srv.addr), nil), openLedger(t, testConfig(srv.addr), nil)
	tab := watchTable(t, l)
	began := time.Now()
	admin := srv.admin()
	killed, stop := int64(0), make(chan struct{})
	var killer, all sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				// Those that wait for changes; a Put that is cut off is tried again.
				n, _ := admin.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Result()
				killed += n
			}
		}
	})
	for w := range writers {
		all.Go(func() {
			for i := w; i < bans; i += writers {
				for {
					if _, err := other.Put(ctx, testBan(i)); err == nil {
						break
					}
				}
			}
		})
	}
	all.Wait()
	close(stop)
	killer.Wait()
	took := time.Since(began)
	eventually(t, "all bans are known", func() bool { return tab.size() == bans })
	tab.mu.Lock()
	defer tab.mu.Unlock()
	for _, e := range tab.entries {
		if e.Times != 1 {
			t.Fatalf("%+v", e)
		}
	}
	t.Logf("%d bans in %v, %d connections killed; %d watches, %d snapshots", bans, took, killed, tab.began, tab.synced)
}

// TestTrimmedStream holds that a watcher for which the stream was too short gets
// a snapshot, and all of it.
func TestTrimmedStream(t *testing.T) {
	srv, ctx := startServer(t, "--appendonly", "no"), context.Background()
	cfg := testConfig(srv.addr)
	cfg.StreamLength = 1000
	l := openLedger(t, cfg, nil)
	tab := &table{entries: map[string]store.Entry{}}
	asleep, release := make(chan struct{}), make(chan struct{})
	watch, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Watch(watch, func(e store.Event) error {
			if e.Kind == store.Synced && tab.count(&tab.synced) == 0 {
				close(asleep)
				<-release
			}
			return tab.follow(e)
		})
	}()
	<-asleep
	for i := range 3000 {
		must[store.Entry](t)(l.Put(ctx, testBan(i)))
	}
	must[bool](t)(l.Remove(ctx, testBan(0)))
	if n := srv.do("XLEN", l.keys[keyChanges]).(int64); n > 1200 {
		t.Fatalf("the stream has %d changes", n)
	}
	close(release)
	eventually(t, "2999 entries", func() bool { return tab.size() == 2999 })
	if n := tab.count(&tab.synced); n != 2 {
		t.Errorf("%d snapshots", n)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// TestEmptiedServer holds that a watcher hears of a server that has lost all, in
// silence or under load.
func TestEmptiedServer(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	tab := watchTable(t, l)
	must[store.Entry](t)(l.Put(ctx, testBan(1)))
	must[store.Entry](t)(l.Put(ctx, testBan(2)))
	eventually(t, "two entries", func() bool { return tab.size() == 2 })

	began := time.Now()
	srv.do("FLUSHALL")
	eventually(t, "nothing is left", func() bool { return tab.size() == 0 })
	t.Logf("heard of it after %v", time.Since(began))
	must[store.Entry](t)(l.Put(ctx, testBan(3)))
	eventually(t, "one entry", func() bool { return tab.size() == 1 })

	srv.do("FLUSHALL")
	for i := 10; i < 20; i++ {
		must[store.Entry](t)(l.Put(ctx, testBan(i)))
	}
	eventually(t, "ten entries", func() bool { return tab.size() == 10 && tab.get(testBan(3)).Times == 0 })
	if n := tab.count(&tab.began); n != 1 {
		t.Errorf("%d watches", n)
	}
}

// TestServerFallsBack holds that a watcher which knows more than the server, as
// after a failover that lost changes, reads it anew.
func TestServerFallsBack(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	tab := watchTable(t, l)
	for i := range 3 {
		must[store.Entry](t)(l.Put(ctx, testBan(i)))
	}
	eventually(t, "three entries", func() bool { return tab.size() == 3 })
	// The server as it was before the last change, and then another one.
	srv.do("EVAL", `redis.call('HDEL', KEYS[1], ARGV[1]); redis.call('SET', KEYS[3], 2)
		local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
		redis.call('XDEL', KEYS[2], last[1][1]); return 1`,
		3, l.keys[keyEntries], l.keys[keyChanges], l.keys[5], entryName(new(testBan(2))))
	must[store.Entry](t)(l.Put(ctx, testBan(7)))
	eventually(t, "the fourth, and not the third", func() bool {
		return tab.size() == 3 && tab.get(testBan(7)).Times == 1 && tab.get(testBan(2)).Times == 0
	})
}

func TestRestart(t *testing.T) {
	srv, ctx := startServer(t, "--appendfsync", "always"), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	tab := watchTable(t, l)
	must[store.Entry](t)(l.Put(ctx, testBan(1)))
	eventually(t, "an entry", func() bool { return tab.size() == 1 })
	before := l.Position()
	srv.kill()
	time.Sleep(100 * time.Millisecond)
	srv.start()
	eventually(t, "it can be banned again", func() bool { _, err := l.Put(ctx, testBan(2)); return err == nil })
	eventually(t, "two entries", func() bool { return tab.size() == 2 })
	if after := l.Position(); before.IsZero() || after.Compare(before) <= 0 {
		t.Errorf("position %v, then %v", before, after)
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	t.Logf("%d watches; errors %v", tab.began, tab.errs)
}

// TestStoppedServer holds that a watch and a Put end in time when the server
// takes connections and says nothing.
func TestStoppedServer(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg := testConfig(srv.addr)
	cfg.Timeouts.IO = 150 * time.Millisecond
	l := openLedger(t, cfg, nil)
	tab := watchTable(t, l)
	srv.do("CLIENT", "PAUSE", 3000, "ALL")
	timed, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := l.Put(timed, testBan(1)); err == nil {
		t.Error("Put does not fail")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Put took %v", took)
	}
	eventually(t, "it can be banned again", func() bool { _, err := l.Put(ctx, testBan(1)); return err == nil })
	eventually(t, "one entry", func() bool { return tab.size() == 1 })
}

func TestWatchEndsAtOnce(t *testing.T) {
	srv := startServer(t)
	l := openLedger(t, testConfig(srv.addr), nil)
	for name, end := range map[string]func(cancel func()){
		"context": func(cancel func()) { cancel() },
		"ledger":  func(func()) { l.endLedger() },
	} {
		if name == "ledger" {
			defer func() { // last: nothing works after it
				testWatchEnds(t, l, name, store.ErrClosed, end)
			}()
			continue
		}
		testWatchEnds(t, l, name, context.Canceled, end)
	}
}

func testWatchEnds(t *testing.T, l *ledger, name string, want error, end func(cancel func())) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	synced, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- l.Watch(ctx, func(e store.Event) error {
			if e.Kind == store.Synced {
				close(synced)
			}
			return nil
		})
	}()
	<-synced
	time.Sleep(50 * time.Millisecond) // until it waits for changes
	began := time.Now()
	end(cancel)
	if err := <-ended; !errors.Is(err, want) {
		t.Errorf("%s: ended with %v", name, err)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("%s: took %v", name, took)
	}
}
