package memory

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// attacker is the n-th client, with a network of its own.
func attacker(n int) (client, network netip.Prefix) {
	a := netip.AddrFrom4([4]byte{byte(n>>16) + 11, byte(n >> 8), byte(n), 66})
	network, _ = a.Prefix(24)
	return netip.PrefixFrom(a, 32), network
}

// BenchmarkMemory measures what attacking clients take, each with five distinct
// failures and a network and an account of its own, all included: in the heap, and of
// the machine's memory, with all that the process has beside it.
func BenchmarkMemory(b *testing.B) {
	for _, clients := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) { benchmarkMemory(b, clients) })
	}
}

func benchmarkMemory(b *testing.B, clients int) {
	rules := storetest.Rules()
	for b.Loop() {
		debug.FreeOSMemory() // what an earlier round has left
		before := heapInUse()
		s := open(b, Config{Subjects: 4_000_000, Bans: 1000, Familiar: 1000}, Options{})
		ops, out := make([]store.Op, 5), make([]store.Standing, 5)
		for n := range clients {
			client, network := attacker(n)
			account := fmt.Sprintf("user%d@example.org", n)
			for i := range ops {
				ops[i] = store.Op{
					Verb: store.Record, ID: uint64(5*n + i + 1), Client: client, Network: network,
					Account: account, Token: uint32(i + 1), Secret: score.Sure,
					Outcome: score.Failure, Rules: rules,
				}
			}
			if err := s.Do(context.Background(), ops, out); err != nil {
				b.Fatal(err)
			}
		}
		if out[4].Client.Score < 4*score.Point {
			b.Fatalf("the last client has %d", out[4].Client.Score)
		}
		b.ReportMetric(float64(resident(b)>>10), "MB-resident")
		b.ReportMetric(float64(heapInUse()-before)/float64(clients), "B/client")
		closeStore(b, s)
	}
}

// resident is how much memory the process has of the machine, in KiB.
func resident(b *testing.B) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// crowd opens a store that knows many clients, and returns an operation for
// each of them.
func crowd(b testing.TB, verb store.Verb) (*Store, []store.Op) {
	s := open(b, Config{Subjects: 1_000_000, Bans: 1000, Familiar: 1000}, Options{})
	rules := storetest.Rules()
	ops := make([]store.Op, 10_000)
	for n := range ops {
		client, network := attacker(n)
		ops[n] = store.Op{
			Verb: store.Record, ID: uint64(n + 1), Client: client, Network: network,
			Account: fmt.Sprintf("user%d@example.org", n), Token: uint32(n), Secret: score.Sure,
			Guess: uint64(n + 1), Outcome: score.Failure, Rules: rules,
		}
	}
	if err := s.Do(context.Background(), ops, make([]store.Standing, len(ops))); err != nil {
		b.Fatal(err)
	}
	for n := range ops {
		ops[n].Verb = verb
	}
	return s, ops
}

func benchmarkVerb(b *testing.B, verb store.Verb, step func(n int, op *store.Op)) {
	s, ops := crowd(b, verb)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		op, out := make([]store.Op, 1), make([]store.Standing, 1)
		for n := int(time.Now().UnixNano() % 1000); pb.Next(); n++ {
			op[0] = ops[n%len(ops)]
			step(n, &op[0])
			if err := s.Do(context.Background(), op, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLook(b *testing.B) {
	benchmarkVerb(b, store.Look, func(int, *store.Op) {})
}

// BenchmarkReserve takes places until a client is full, and then finds it full.
func BenchmarkReserve(b *testing.B) {
	benchmarkVerb(b, store.Reserve, func(n int, op *store.Op) { op.Guess, op.Token = uint64(n), uint32(n) })
}

// BenchmarkRecord records new guesses, so that rings are full and shift.
func BenchmarkRecord(b *testing.B) {
	benchmarkVerb(b, store.Record, func(n int, op *store.Op) { op.Token = uint32(n / 7) })
}

// BenchmarkLogin reserves and records a right password of a familiar pair.
func BenchmarkLogin(b *testing.B) {
	s, ops := crowd(b, store.Record)
	out := make([]store.Standing, 1)
	for range 2 {
		for n := range ops[:500] {
			ops[n].Outcome = score.Success
			if err := s.Do(context.Background(), ops[n:n+1], out); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n = (n + 1) % 500 {
		ops[n].Verb = store.Reserve
		_ = s.Do(context.Background(), ops[n:n+1], out)
		ops[n].Verb = store.Record
		_ = s.Do(context.Background(), ops[n:n+1], out)
	}
}

// levels has a store learn that other hosts have more points, and then fewer.
func levels(tb testing.TB) (step func(n int)) {
	s, ops := crowd(tb, store.Look)
	out := make([]store.Standing, 1)
	if err := s.Do(context.Background(), ops[:1], out); err != nil {
		tb.Fatal(err)
	}
	known := out[0]
	return func(n int) {
		known.Client.Score = score.Milli(2000 + n%2*1000)
		known.Client.InFlight = score.Milli(3000 + n%2*1000)
		s.Level(&ops[0], &known, &known, true)
	}
}

// BenchmarkLevel is what a host that shares Redis pays beside an operation on a client
// of which other hosts know more.
func BenchmarkLevel(b *testing.B) {
	step := levels(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		step(n)
	}
}

func TestNoAllocations(t *testing.T) {
	t.Run("Level", func(t *testing.T) {
		n, step := 0, levels(t)
		if allocs := testing.AllocsPerRun(5000, func() { step(n); n++ }); allocs != 0 {
			t.Errorf("%v allocations for a level", allocs)
		}
	})
	for name, verb := range map[string]store.Verb{"Look": store.Look, "Reserve": store.Reserve, "Record": store.Record} {
		t.Run(name, func(t *testing.T) {
			s, ops := crowd(t, verb)
			out := make([]store.Standing, 1)
			n := 0
			allocs := testing.AllocsPerRun(5000, func() {
				i := n % 1000
				ops[i].Token, ops[i].Guess = uint32(n/1000), uint64(n)
				if err := s.Do(context.Background(), ops[i:i+1], out); err != nil {
					t.Fatal(err)
				}
				n++
			})
			if allocs != 0 {
				t.Errorf("%v allocations for an operation", allocs)
			}
		})
	}
}

// BenchmarkOpen opens a file with 100,000 bans and gives a watcher all of them.
func BenchmarkOpen(b *testing.B) {
	cfg := Config{Subjects: 100_000, Bans: 1_000_000, Familiar: 1000}
	opts := Options{Path: b.TempDir() + "/state.db"}
	s := open(b, cfg, opts)
	d := s.ledger.newDraft()
	for n := range 100_000 {
		client, _ := attacker(n)
		d.put(store.Entry{
			Kind: store.AutomaticBan, Prefix: client, Reason: "20 points for guessing passwords", Rule: "client", By: "mx1",
			Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 24 * time.Hour},
		})
	}
	if err := d.save(); err != nil {
		b.Fatal(err)
	}
	closeStore(b, s)
	for b.Loop() {
		s, err := Open(cfg, opts)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		_ = s.Watch(context.Background(), func(e store.Event) error {
			n++
			if e.Kind == store.Synced {
				return context.Canceled
			}
			return nil
		})
		if n != 100_002 {
			b.Fatalf("%d events", n)
		}
		closeStore(b, s)
	}
}

// BenchmarkPut puts bans that are on disk when Put returns, from many at once.
func BenchmarkPut(b *testing.B) {
	s := open(b, Config{Subjects: 100_000, Bans: 10_000_000, Familiar: 1000}, Options{Path: b.TempDir() + "/state.db"})
	var next atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			client, _ := attacker(int(next.Add(1)))
			if _, err := s.Put(context.Background(), store.Entry{Kind: store.OperatorBan, Prefix: client}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
