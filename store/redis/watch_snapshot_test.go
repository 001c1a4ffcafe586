package redis

import (
	"context"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

// TestResync holds that what no change tells of is found in the end.
func TestResync(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg := testConfig(srv.addr)
	cfg.Resync = 300 * time.Millisecond
	l := openLedger(t, cfg, nil)
	tab := watchTable(t, l)
	must[store.Entry](t)(l.Put(ctx, testBan(1)))
	eventually(t, "one entry", func() bool { return tab.size() == 1 })
	srv.do("HDEL", l.keys[keyEntries], entryName(new(testBan(1))))
	eventually(t, "none", func() bool { return tab.size() == 0 })
}

// TestForeignRecords holds that what cannot be read harms nothing else.
func TestForeignRecords(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	must[store.Entry](t)(l.Put(ctx, testBan(1)))
	srv.do("HSET", l.keys[keyEntries], "nonsense", "1", entryName(new(testBan(2))), "2 of another version")
	tab := watchTable(t, l)
	if tab.size() != 1 {
		t.Errorf("%d entries", tab.size())
	}
	if got := must[store.Entry](t)(l.Put(ctx, testBan(2))); got.Times != 1 {
		t.Errorf("got %+v", got)
	}
	eventually(t, "two entries", func() bool { return tab.size() == 2 })
}

// TestSnapshot reads 100,000 entries, page by page.
func TestSnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const entries = 100_000
	srv, ctx := startServer(t, "--appendonly", "no"), context.Background()
	l := openLedger(t, testConfig(srv.addr), nil)
	list := make([]store.Entry, entries)
	for i := range list {
		list[i] = testBan(i)
		list[i].Until, list[i].Times = time.Now().Add(time.Hour), 1
	}
	before := usedMemory(srv)
	began := time.Now()
	if err := l.PutAll(ctx, list); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries merged in %v; %d octets each, history and stream included",
		entries, time.Since(began), (usedMemory(srv)-before)/entries)
	srv.do("SLOWLOG", "RESET")
	srv.do("CONFIG", "SET", "slowlog-log-slower-than", "5000")
	began = time.Now()
	tab := watchTable(t, l)
	t.Logf("snapshot in %v; %d commands took more than 5 ms", time.Since(began), srv.do("SLOWLOG", "LEN"))
	if tab.size() != entries {
		t.Errorf("%d entries", tab.size())
	}
}

func usedMemory(srv *server) int64 {
	v, err := srv.admin().InfoMap(context.Background(), "memory").Result()
	if err != nil {
		srv.t.Fatal(err)
	}
	n := int64(0)
	for _, c := range v["Memory"]["used_memory"] {
		n = n*10 + int64(c-'0')
	}
	return n
}
