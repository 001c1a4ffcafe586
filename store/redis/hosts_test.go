package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/store"
)

// beat has a process say what it is.
func beat(t *testing.T, l *ledger, h Host) {
	t.Helper()
	must[int](t)(l.beat(context.Background(), h))
}

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
			return Host{Name: "mx2", Version: "1.2", Mode: "enforce", Position: store.Position{Millis: 7}}
		})
	}()
	other := openLedger(t, cfg, c.now)
	beat(t, other, Host{Name: "mx1"})
	eventually(t, "two hosts", func() bool { return len(must[[]Host](t)(l.Hosts(ctx))) == 2 })
	got := must[[]Host](t)(l.Hosts(ctx))
	want := Host{Name: "mx2", Version: "1.2", Mode: "enforce", Position: store.Position{Millis: 7}, At: c.now().UTC(), Instance: l.instance}
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
		beat(t, l, Host{Name: fmt.Sprint("mx", i)})
	}
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != maxHosts {
		t.Errorf("%d hosts", len(got))
	}
	for _, name := range []string{"", "mx\x1f1", "mx\n1", strings.Repeat("x", maxHostName+1)} {
		if _, err := l.beat(ctx, Host{Name: name}); err == nil {
			t.Errorf("a host named %q is taken", name)
		}
	}
	srv.do("HSET", "{sg:hosts}:about", "mx500"+separator+l.instance, "nonsense")
	if got := must[[]Host](t)(l.Hosts(ctx)); len(got) != maxHosts-1 {
		t.Errorf("%d hosts", len(got))
	}
	if ttl := srv.do("PTTL", "{sg:hosts}:beats").(int64); ttl <= 0 || ttl > 15_000 {
		t.Errorf("time to live %d ms", ttl)
	}
}

// TestTwoHostsOfOneName holds that both are told, and that the end of one leaves
// the other; and that a process which comes after one that crashed is not taken
// for a second host.
func TestTwoHostsOfOneName(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg := testConfig(srv.addr)
	cfg.Heartbeat = time.Second
	crashed := openLedger(t, cfg, nil)
	beat(t, crashed, Host{Name: "mx1"})

	type process struct {
		*ledger
		logs *observer.ObservedLogs
		stop context.CancelFunc
		end  chan error
	}
	start := func() process {
		core, logs := observer.New(zap.WarnLevel)
		l := openLedger(t, cfg, nil)
		l.log = zap.New(core)
		running, stop := context.WithCancel(ctx)
		t.Cleanup(stop)
		p := process{l, logs, stop, make(chan error, 1)}
		go func() { p.end <- l.RunHeartbeat(running, func() Host { return Host{Name: "mx1"} }) }()
		return p
	}
	told := func(p process) int { return p.logs.FilterMessageSnippet("another host uses this host's name").Len() }
	a := start()
	eventually(t, "the crashed one is forgotten", func() bool {
		got := must[[]Host](t)(a.Hosts(ctx))
		return len(got) == 1 && got[0].Instance == a.instance
	})
	if told(a) != 0 {
		t.Error("it takes the one before it for another host")
	}
	b := start()
	eventually(t, "both are told", func() bool { return told(a) == 1 && told(b) == 1 })
	if got := must[[]Host](t)(a.Hosts(ctx)); len(got) != 2 {
		t.Errorf("listed: %+v", got)
	}
	b.stop()
	<-b.end
	if got := must[[]Host](t)(a.Hosts(ctx)); len(got) != 1 || got[0].Instance != a.instance {
		t.Errorf("after the other's end: %+v", got)
	}
}

// TestFirewallAgents holds that an agent can speak for its host from the server's
// process or from one of its own, and that neither disturbs the other.
func TestFirewallAgents(t *testing.T) {
	srv, ctx := startServer(t), context.Background()
	cfg, c := testConfig(srv.addr), newTestClock()
	server, agent := openLedger(t, cfg, c.now), openLedger(t, cfg, c.now)
	one := store.AgentState{Backend: "nftables", State: "running", Position: store.Position{Millis: 9, Number: 1}, Bans: 3, Error: "no\nroom"}
	list := func(want int) []Host {
		t.Helper()
		got := must[[]Host](t)(server.Hosts(ctx))
		if len(got) != want {
			t.Fatalf("hosts: %+v", got)
		}
		return got
	}
	if err := agent.ReportAgent(ctx, "mx1", one); err != nil {
		t.Fatal(err)
	}
	want := one
	want.At, want.Error = c.now().UTC(), "no?room"
	if got := list(1)[0]; got.Name != "mx1" || got.Version != "" || *got.Firewall != want {
		t.Errorf("alone: %+v, %+v", got, got.Firewall)
	}
	beat(t, server, Host{Name: "mx1", Version: "1.2"})
	if got := list(1)[0]; got.Version != "1.2" || *got.Firewall != want {
		t.Errorf("beside a server that is none: %+v, %+v", got, got.Firewall)
	}
	two := store.AgentState{Backend: "exec", State: "paused"}
	beat(t, server, Host{Name: "mx2", Firewall: &two})
	if got := list(2)[1]; got.Firewall == nil || got.Firewall.Backend != "exec" {
		t.Errorf("in one process: %+v", got)
	}
	server.leave(ctx, Host{Name: "mx2", Firewall: &two})
	if got := list(1)[0]; got.Name != "mx1" || got.Firewall == nil {
		t.Errorf("after the other's end: %+v", got)
	}
	if err := agent.RetireAgent(ctx, "mx1"); err != nil {
		t.Fatal(err)
	}
	if got := list(1)[0]; got.Version != "1.2" || got.Firewall != nil {
		t.Errorf("after the agent's end: %+v", got)
	}
	if err := agent.ReportAgent(ctx, "mx1", one); err != nil {
		t.Fatal(err)
	}
	c.advance(missedBeats * cfg.Heartbeat)
	list(0)
	if err := agent.ReportAgent(ctx, "", one); err == nil {
		t.Error("an agent of no host is taken")
	}
}
