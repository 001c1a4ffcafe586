package redis

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// What hosts write into a feed they read in order, page by page, and no more than
// was to be kept.
func TestFeed(t *testing.T) {
	srv, ctx := startServer(t), t.Context()
	cfg := testConfig(srv.addr)
	s := openOver(t, must[goredis.UniversalClient](t)(Connect(cfg)), cfg, Options{})
	f := s.Feed("test")
	if end := must[string](t)(f.End(ctx)); end != "" {
		t.Errorf("an empty feed ends at %q", end)
	}
	write := func(from, n int) {
		t.Helper()
		texts := make([][]byte, n)
		for i := range texts {
			texts[i] = fmt.Appendf(nil, "line %d", from+i)
		}
		if err := f.Append(ctx, texts, 1000, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 10)
	end := must[string](t)(f.End(ctx))
	write(10, 5)
	after, err := f.After(ctx, end, 100)
	if err != nil || len(after) != 5 || string(after[0].Text) != "line 10" || string(after[4].Text) != "line 14" {
		t.Errorf("after %s: %q, %v", end, after, err)
	}
	latest, err := f.Before(ctx, "", 4)
	if err != nil || len(latest) != 4 || string(latest[0].Text) != "line 14" {
		t.Errorf("the latest: %q, %v", latest, err)
	}
	before, err := f.Before(ctx, latest[3].ID, 100)
	if err != nil || len(before) != 11 || string(before[0].Text) != "line 10" {
		t.Errorf("before those: %q, %v", before, err)
	}
	for i := range 20 {
		write(100+200*i, 200)
	}
	if n := s.client.XLen(ctx, f.key).Val(); n < 1000 || n > 1500 {
		t.Errorf("%d lines are kept of 1000", n)
	}
	if ttl := s.client.PTTL(ctx, f.key).Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("the feed outlives its hosts by %v", ttl)
	}
}
