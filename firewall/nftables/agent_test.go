//go:build linux

package nftables

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/test/netns"
)

// host is an agent over a real ledger and the kernel of a world.
type host struct {
	*netns.World
	client *netns.World
	ledger *memory.Store
	agent  *firewall.Agent
	stop   func()

	mu  sync.Mutex
	own []netip.Addr
}

// newHost runs an agent until the test ends.
func newHost(t testing.TB, change func(*firewall.Settings)) *host {
	t.Helper()
	h := &host{own: []netip.Addr{netip.MustParseAddr(netns.Server4), netip.MustParseAddr(netns.Server6)}}
	h.World, h.client = netns.Pair(t)
	h.Listen(587)
	var err error
	if h.ledger, err = memory.Open(memory.Config{Subjects: 10_000, Bans: 500_000, Familiar: 1000}, memory.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.ledger.Close(context.Background()) })
	s := firewall.Settings{Config: config(), Enforce: true}
	if change != nil {
		change(&s)
	}
	h.start(s)
	return h
}

// start runs an agent, as after a restart.
func (h *host) start(s firewall.Settings) {
	h.Helper()
	var err error
	h.agent, err = firewall.New(firewall.Options{
		Settings: s, Source: h.ledger, Backend: backend(h.World, s.Config), Logger: zaptest.NewLogger(h),
		Own: func() ([]netip.Addr, error) { h.mu.Lock(); defer h.mu.Unlock(); return h.own, nil },
	})
	if err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.agent.Run(ctx)
	}()
	var once sync.Once
	h.stop = func() { once.Do(func() { cancel(); <-ended }) }
	h.Cleanup(h.stop)
	h.becomes("running or observing", func() bool {
		state := h.agent.State().State
		return state == firewall.Running || state == firewall.Observing
	})
}

// becomes waits until something is so.
func (h *host) becomes(what string, so func() bool) {
	h.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("it never is so that: %s\n%s", what, h.NFT("list ruleset"))
		}
	}
}

// put bans or allows, and waits until the agent has it.
func (h *host) put(kind store.EntryKind, prefix string, lasts time.Duration) store.Entry {
	h.Helper()
	e := store.Entry{Kind: kind, Prefix: netip.MustParsePrefix(prefix)}
	if lasts > 0 {
		e.Until = time.Now().Add(lasts)
	}
	got, at, err := h.ledger.PutPosition(h.Context(), e)
	if err != nil {
		h.Fatal(err)
	}
	h.reached(at)
	return got
}

func (h *host) lift(kind store.EntryKind, prefix string) {
	h.Helper()
	_, at, err := h.ledger.RemovePosition(h.Context(), store.Entry{Kind: kind, Prefix: netip.MustParsePrefix(prefix)})
	if err != nil {
		h.Fatal(err)
	}
	h.reached(at)
}

func (h *host) reached(at store.Position) {
	h.Helper()
	h.becomes("the agent has come to "+at.String(), func() bool { return h.agent.State().Position.Compare(at) >= 0 })
}

// want holds who gets through to what it says.
func (h *host) want(reaches map[string]bool) {
	h.Helper()
	var running sync.WaitGroup
	for from, want := range reaches {
		running.Go(func() {
			if got := h.client.Reaches(from, 587); got != want {
				h.Errorf("%s reaches the server: %v", from, got)
			}
		})
	}
	running.Wait()
}

// A ban is in the kernel when the agent says that it has come to it; what is not
// for a firewall is not.
func TestAgentEnforces(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(s *firewall.Settings) { s.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")} })
	h.put(store.AutomaticBan, "203.0.113.1/32", time.Hour)
	h.put(store.AutomaticBan, "2001:db8:1:2::/64", time.Hour)
	h.put(store.AutomaticBan, "198.51.100.0/24", time.Hour)
	h.put(store.AutomaticBan, "192.0.2.200/32", time.Hour) // allowed by the configuration
	h.put(store.AutomaticBan, "10.0.0.1/32", time.Hour)    // private
	h.put(store.OperatorBan, "192.0.2.201/32", 0)          // allowed, and yet
	h.put(store.AutomaticBan, "198.18.0.0/30", time.Hour)  // its own network
	if _, err := h.ledger.Put(t.Context(), store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix("203.0.113.9/32"), Observed: true}); err != nil {
		t.Fatal(err)
	}
	h.put(store.AutomaticBan, "203.0.113.2/32", time.Hour)
	h.want(map[string]bool{
		"203.0.113.1": false, "203.0.113.2": false, "2001:db8:1:2::9": false, "198.51.100.77": false, "192.0.2.201": false,
		"203.0.113.3": true, "203.0.113.9": true, "192.0.2.200": true, "2001:db8:1:3::9": true, netns.Client4: true,
	})
	if s := h.agent.State(); s.Bans != 5 || s.Backend != "nftables" {
		t.Errorf("%+v", s)
	}
	h.lift(store.AutomaticBan, "203.0.113.1/32")
	h.lift(store.OperatorBan, "192.0.2.201/32")
	// The allowlist takes a ban away, and gives it back.
	h.put(store.Allow, "203.0.113.0/28", 0)
	h.want(map[string]bool{"203.0.113.1": true, "203.0.113.2": true, "192.0.2.201": true, "198.51.100.77": false})
	h.lift(store.Allow, "203.0.113.0/28")
	h.put(store.Allow, "198.51.100.64/26", 0)
	h.want(map[string]bool{"203.0.113.1": true, "203.0.113.2": false, "198.51.100.77": true, "198.51.100.7": false})
}

// A narrower ban outlives a wider one without a gap, and an end that is moved
// counts.
func TestAgentOverlaps(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(store.OperatorBan, "203.0.113.0/24", 3*time.Second)
	h.put(store.OperatorBan, "203.0.113.16/28", time.Hour)
	h.put(store.AutomaticBan, "198.51.100.0/25", 3*time.Second)
	h.put(store.AutomaticBan, "198.51.100.1/32", time.Hour)
	h.put(store.AutomaticBan, "192.0.2.1/32", time.Hour)
	h.want(map[string]bool{"203.0.113.1": false, "203.0.113.17": false, "198.51.100.1": false, "198.51.100.2": false})
	var gaps int
	for began := time.Now(); time.Since(began) < 4*time.Second; {
		for _, from := range []string{"203.0.113.17", "198.51.100.1"} {
			if c, err := h.client.Dial(from, 587, 40*time.Millisecond); err == nil {
				c.Close()
				gaps++
			}
		}
	}
	if gaps > 0 {
		t.Errorf("a client that was banned all the time got through %d times", gaps)
	}
	h.want(map[string]bool{"203.0.113.1": true, "203.0.113.17": false, "198.51.100.1": false, "198.51.100.2": true})
	h.put(store.OperatorBan, "203.0.113.16/28", 500*time.Millisecond)
	time.Sleep(600 * time.Millisecond)
	h.want(map[string]bool{"203.0.113.17": true})
}

// What others do to the table is undone within two seconds.
func TestAgentHeals(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(store.AutomaticBan, "203.0.113.1/32", time.Hour)
	for _, damage := range []string{"flush ruleset", "delete table inet saslguard", "flush set inet saslguard ban4", "flush chain inet saslguard judge4"} {
		h.NFT(damage)
		began := time.Now()
		h.becomes("the client is banned again after "+damage, func() bool {
			return strings.Contains(h.NFT("list ruleset"), "203.0.113.1 timeout") && !h.client.Reaches("203.0.113.1", 587)
		})
		t.Logf("%s was healed after %v", damage, time.Since(began).Round(time.Millisecond))
		if took := time.Since(began); took > 6*time.Second { // 2 s, and a busy machine
			t.Errorf("%s took %v to heal", damage, took)
		}
	}
}

// Pause, resume and flush do what they say.
func TestAgentIsOperated(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.put(store.AutomaticBan, "203.0.113.1/32", time.Hour)
	h.put(store.OperatorBan, "198.51.100.0/24", 0)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(h.agent.Pause(t.Context(), false, 0))
	if got := h.NFT("list ruleset"); got != "" {
		t.Errorf("paused, there is\n%s", got)
	}
	if s := h.agent.State(); s.State != firewall.Paused || s.Bans != 0 {
		t.Errorf("paused: %+v", s)
	}
	_, at, err := h.ledger.PutPosition(t.Context(), store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix("203.0.113.2/32")})
	do(err)
	do(h.agent.Resume(t.Context()))
	h.reached(at)
	h.want(map[string]bool{"203.0.113.1": false, "203.0.113.2": false, "198.51.100.1": false})

	do(h.agent.Pause(t.Context(), true, 3*time.Second))
	h.want(map[string]bool{"203.0.113.1": false})
	h.NFT("delete table inet saslguard")
	time.Sleep(1500 * time.Millisecond)
	if got := h.NFT("list ruleset"); got != "" {
		t.Errorf("an administrator's change is undone in a pause:\n%s", got)
	}
	h.becomes("the pause is over", func() bool { return h.agent.State().State == firewall.Running })
	h.want(map[string]bool{"203.0.113.1": false})

	if n, err := h.agent.Flush(t.Context()); err != nil || n != 3 {
		t.Errorf("flushed %d (%v)", n, err)
	}
	h.want(map[string]bool{"203.0.113.1": true, "198.51.100.1": true})
	h.put(store.OperatorBan, "198.51.100.0/24", time.Hour) // anew
	h.put(store.AutomaticBan, "203.0.113.3/32", time.Hour)
	h.want(map[string]bool{"203.0.113.1": true, "198.51.100.1": false, "203.0.113.3": false})
	if s, err := h.agent.Status(t.Context()); err != nil || s.Flushed != 2 || s.Bans != 2 || s.Packets == 0 {
		t.Errorf("%+v (%v)", s, err)
	}
	do(h.agent.Resume(t.Context()))
	h.want(map[string]bool{"203.0.113.1": false, "203.0.113.2": false})
}

// A reload changes ports, verdict and mode; an address that becomes this host's own
// is spared.
func TestAgentReloads(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.Listen(993)
	h.put(store.AutomaticBan, "203.0.113.1/32", time.Hour)
	reload := func(change func(*firewall.Settings)) {
		t.Helper()
		s := firewall.Settings{Config: config(), Enforce: true}
		change(&s)
		if err := h.agent.Reload(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	reload(func(s *firewall.Settings) { s.Config.Ports, s.Config.Verdict = []string{"993"}, firewall.Reject })
	h.want(map[string]bool{"203.0.113.1": true})
	if _, err := h.client.Dial("203.0.113.1", 993, 5*time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("with verdict reject the client is told %v", err)
	}
	reload(func(s *firewall.Settings) { s.Enforce = false })
	if got := h.NFT("list ruleset"); got != "" || h.agent.State().State != firewall.Observing {
		t.Errorf("observing, there is\n%s", got)
	}
	reload(func(*firewall.Settings) {})
	h.want(map[string]bool{"203.0.113.1": false})
	reload(func(s *firewall.Settings) { s.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")} })
	h.want(map[string]bool{"203.0.113.1": true})
	reload(func(*firewall.Settings) {})
	h.want(map[string]bool{"203.0.113.1": false})
	h.mu.Lock()
	h.own = append(h.own, netip.MustParseAddr("203.0.113.1"))
	h.mu.Unlock()
	h.becomes("an own address is spared", func() bool { return h.client.Reaches("203.0.113.1", 587) })
	if err := h.agent.Reload(t.Context(), firewall.Settings{}); err == nil {
		t.Error("settings without ports are taken")
	}
}

// At the stop the table goes or stays, and what stays is taken over.
func TestAgentStops(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(s *firewall.Settings) { s.Config.AtStop = firewall.AtStopKeep })
	h.put(store.AutomaticBan, "203.0.113.1/32", time.Hour)
	h.put(store.AutomaticBan, "203.0.113.2/32", 2*time.Second)
	h.stop()
	h.want(map[string]bool{"203.0.113.1": false})
	time.Sleep(2 * time.Second)
	h.want(map[string]bool{"203.0.113.2": true}) // by the kernel's clock
	h.lift2("203.0.113.1/32")
	h.start(firewall.Settings{Config: config(), Enforce: true})
	h.want(map[string]bool{"203.0.113.1": true})
	h.stop()
	if got := h.NFT("list ruleset"); got != "" {
		t.Errorf("after the stop there is\n%s", got)
	}
}

// lift2 lifts a ban while no agent runs.
func (h *host) lift2(prefix string) {
	h.Helper()
	if _, err := h.ledger.Remove(h.Context(), store.Entry{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix(prefix)}); err != nil {
		h.Fatal(err)
	}
}
