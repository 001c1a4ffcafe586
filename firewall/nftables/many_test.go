//go:build linux

package nftables

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/test/netns"
)

// source is a ledger that has what it was made with, and then says what it is told.
type source struct {
	snapshot []store.Entry
	changes  chan store.Event
}

// Watch implements firewall.Source.
func (s *source) Watch(ctx context.Context, f func(store.Event) error) error {
	if err := f(store.Event{Kind: store.Reset}); err != nil {
		return err
	}
	for _, e := range s.snapshot {
		if err := f(store.Event{Kind: store.Put, Entry: e}); err != nil {
			return err
		}
	}
	if err := f(store.Event{Kind: store.Synced, Position: store.Position{Millis: 1}}); err != nil {
		return err
	}
	for {
		select {
		case e := <-s.changes:
			if err := f(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// many are bans of clients, most of them single addresses, as attackers are.
func many(n int) []store.Entry {
	all := make([]store.Entry, n)
	until := time.Now().Add(24 * time.Hour)
	for i := range all {
		a := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
		p := netip.PrefixFrom(a, 32)
		switch {
		case i%10 == 9:
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
		case i%1000 == 7:
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{101, byte(i >> 16), byte(i >> 8), byte(i)}), 30).Masked()
		}
		all[i] = store.Entry{Kind: store.AutomaticBan, Prefix: p, Until: until}
	}
	return all
}

// busy is how long processors have worked for this process, the kernel's part
// included.
func busy(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// With a hundred thousand bans: all in force soon after a restart, one more or less
// at once, and a rebuild that lets nobody in who was kept out.
func TestHundredThousand(t *testing.T) {
	const n = 100_000
	server, client := netns.Pair(t)
	server.Listen(587)
	src := &source{snapshot: many(n), changes: make(chan store.Event)}
	b := backend(server, config())
	agent, err := firewall.New(firewall.Options{
		Settings: firewall.Settings{Config: config(), Enforce: true}, Source: src, Backend: b, Logger: zaptest.NewLogger(t),
		Own: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(netns.Server4)}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	runtime.GC()
	before, began := busy(t), time.Now()
	go func() { defer close(ended); agent.Run(ctx) }()
	reached := func(at store.Position) {
		t.Helper()
		for agent.State().Position.Compare(at) < 0 {
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("%+v", agent.State())
			}
			runtime.Gosched()
		}
	}
	for agent.State().Position.IsZero() && time.Since(began) < 2*time.Minute {
		time.Sleep(5 * time.Millisecond) // and leaves the processor to the agent
	}
	reached(store.Position{Millis: 1})
	t.Logf("%d bans are in force %v after the start; the processor was busy with it for %v", n,
		time.Since(began).Round(time.Millisecond), (busy(t) - before).Round(time.Millisecond))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := agent.State().Bans; got < n-200 { // some of the /30 are one
		t.Errorf("%d bans are in force", got)
	}

	var puts, removes []time.Duration
	at := store.Position{Millis: 2}
	one := func(kind store.EventKind, i int) time.Duration {
		at.Number++
		e := store.Entry{Kind: store.AutomaticBan, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(113 + i>>8), byte(i)}), 32), Until: time.Now().Add(time.Hour)}
		began := time.Now()
		src.changes <- store.Event{Kind: kind, Entry: e, Position: at}
		reached(at)
		return time.Since(began)
	}
	for i := range 200 {
		puts = append(puts, one(store.Put, i))
	}
	if client.Reaches("203.0.113.199", 587) {
		t.Error("a ban is not in force")
	}
	for i := range 200 {
		removes = append(removes, one(store.Removed, i))
	}
	if !client.Reaches("203.0.113.199", 587) {
		t.Error("a ban is in force that was lifted")
	}
	for what, took := range map[string][]time.Duration{"a ban": puts, "an unban": removes} {
		slices.Sort(took)
		t.Logf("%s beside %d others: p50 %v, p99 %v", what, n, took[len(took)/2], took[len(took)*99/100])
	}
	cancel()
	<-ended
}

// A rebuild happens in one step: of the connections that banned clients try all the
// while, none is let in, while others go on to be.
func TestRebuildUnderLoad(t *testing.T) {
	server, client := netns.Pair(t)
	server.Listen(587)
	b := backend(server, config())
	var all []firewall.Element
	for _, e := range many(50_000) {
		all = append(all, firewall.Element{Layer: firewall.Ban, Prefix: e.Prefix, Until: e.Until})
	}
	all = dropOverlaps(all)
	replace(t, b, all...)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var tried, leaked, others atomic.Int64
	for i := range 16 {
		running.Go(func() {
			for n := i; ctx.Err() == nil; n += 16 {
				tried.Add(1)
				from := all[n*7919%len(all)].Prefix.Addr()
				if c, err := client.Dial(from.String(), 587, 20*time.Millisecond); err == nil {
					c.Close()
					leaked.Add(1)
				}
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			if client.Reaches("203.0.113.1", 587) {
				others.Add(1)
			}
		}
	})
	for range 4 {
		began := time.Now()
		replace(t, b, all...)
		t.Logf("a rebuild of %d bans took %v", len(all), time.Since(began).Round(time.Millisecond))
	}
	cancel()
	running.Wait()
	t.Logf("%d connections were tried by banned clients, %d let in; %d of others", tried.Load(), leaked.Load(), others.Load())
	if leaked.Load() > 0 || tried.Load() < 100 || others.Load() < 10 {
		t.Errorf("tried %d, let in %d, others %d", tried.Load(), leaked.Load(), others.Load())
	}
}

// dropOverlaps keeps of the prefixes of interval sets those that do not overlap
// others, as the agent does.
func dropOverlaps(all []firewall.Element) []firewall.Element {
	seen := map[netip.Prefix]bool{}
	return slices.DeleteFunc(all, func(e firewall.Element) bool {
		again := seen[e.Prefix]
		seen[e.Prefix] = true
		return again
	})
}

// BenchmarkReplace is building a table with a hundred thousand bans.
func BenchmarkReplace(b *testing.B) {
	w := netns.New(b)
	back := backend(w, config())
	var all []firewall.Element
	for _, e := range many(100_000) {
		all = append(all, firewall.Element{Layer: firewall.Ban, Prefix: e.Prefix, Until: e.Until})
	}
	all = dropOverlaps(all)
	for b.Loop() {
		replace(b, back, all...)
	}
}

// BenchmarkPackets is what the table costs those who are not banned: round trips
// over an open connection with no table, with an empty one, and with a hundred
// thousand bans, as ratios to none.
func BenchmarkPackets(b *testing.B) {
	server, client := netns.Pair(b)
	server.Listen(587)
	c, err := client.Dial("203.0.113.1", 587, 10*time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	back := backend(server, config())
	var all []firewall.Element
	for _, e := range many(100_000) {
		all = append(all, firewall.Element{Layer: firewall.Ban, Prefix: e.Prefix, Until: e.Until})
	}
	all = dropOverlaps(all)
	const round = 2000
	buffer := make([]byte, 1)
	trips := func() time.Duration {
		began := time.Now()
		for range round {
			if _, err := c.Write(buffer); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Read(buffer); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	var none, empty, full []time.Duration
	for b.Loop() {
		if err := back.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		none = append(none, trips())
		replace(b, back)
		empty = append(empty, trips())
		replace(b, back, all...)
		full = append(full, trips())
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	b.ReportMetric(median(none)/round, "ns/round-trip")
	b.ReportMetric(median(empty)/median(none), "with-0-bans")
	b.ReportMetric(median(full)/median(none), "with-100000-bans")
	b.ReportMetric(0, "ns/op")
}
