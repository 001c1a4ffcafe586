package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestHosts(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg, c := testConfig(srv.addr), newTestClock()
	cfg.Heartbeat = time.Second
	l := openLedger(t, cfg, c.now)
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- l.RunHeartbeat(running, func() Host {
			return Host{Name: "mx2", Version: "1.2", Mode: "enforce", Position: "7-0"}
		})
	}()
	if err := l.beat(ctx, Host{Name: "mx1"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two hosts", func() bool { return len(must[[]Host](t)(l.Hosts(ctx))) == 2 })
	got := must[[]Host](t)(l.Hosts(ctx))
	want := Host{Name: "mx2", Version: "1.2", Mode: "enforce", Position: "7-0", At: c.now().UTC()}
	if got[0].Name != "mx1" || got[1] != want {
		t.Errorf("got %+v", got)
	}
	c.advance(3 * time.Second)
	eventually(t, "the one that beats", func() bool {
		got := must[[]Host](t)(l.Hosts(ctx))
		return len(got) == 1 && got[0].Name == "mx2" && got[0].At.Equal(c.now())
	})
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != 0 {
		t.Errorf("after it took its leave: %+v", got)
	}
}

func TestHostsAreBounded(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg, c := testConfig(srv.addr), newTestClock()
	l := openLedger(t, cfg, c.now)
	for i := range maxHosts + 10 {
		c.advance(time.Millisecond)
		if err := l.beat(ctx, Host{Name: fmt.Sprint("mx", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != maxHosts {
		t.Errorf("%d hosts", len(got))
	}
	if err := l.beat(ctx, Host{}); err == nil {
		t.Error("a host without a name is taken")
	}
	srv.do("HSET", "{sg:hosts}:about", "mx500", "nonsense")
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != maxHosts-1 {
		t.Errorf("%d hosts", len(got))
	}
	if ttl := srv.do("PTTL", "{sg:hosts}:beats").(int64); ttl <= 0 || ttl > 15_000 {
		t.Errorf("time to live %d ms", ttl)
	}
}
