package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// BenchmarkMemory measures what 100,000 attacking clients take in Redis, each
// with five distinct failures and a network and an account of its own.
func BenchmarkMemory(b *testing.B) {
	for _, setup := range []struct {
		name string
		args []string
	}{{"standalone", nil}, {"clusterNode", []string{"--cluster-enabled", "yes"}}} {
		b.Run(setup.name, func(b *testing.B) {
			srv := startServer(b, append([]string{"--appendonly", "no"}, setup.args...)...)
			cfg := testConfig(srv.addr)
			if setup.args != nil {
				srv.do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
				cfg = clusterConfig([]*server{srv})
				eventually(b, "the cluster is complete", func() bool {
					return strings.Contains(srv.do("CLUSTER", "INFO").(string), "cluster_state:ok")
				})
			}
			s := openStore(b, cfg, Options{})
			for b.Loop() {
				srv.do("FLUSHALL")
				before := settledMemory(b, srv)
				const clients = 100_000
				fill(b, s, clients)
				b.ReportMetric(float64(settledMemory(b, srv)-before)/clients, "B/client")
				b.ReportMetric(float64(srv.do("DBSIZE").(int64))/clients, "keys/client")
			}
		})
	}
}

// TestMemory holds that to its limit by what Redis says of each key. It says
// nothing of the key's entry among those that expire, of the 8 octets by which the
// allocator's 32 exceed an entry, nor of the places in the two tables, which
// 100,000 clients fill to three quarters.
func TestMemory(t *testing.T) {
	const clients, most = 200, 350
	const entry, places = 8 + 32, 2 * 8 * 4 / 3
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	fill(t, s, clients)
	keys := must[[]string](t)(srv.admin().Keys(context.Background(), "*").Result())
	sum := int64(0)
	for _, key := range keys {
		sum += srv.do("MEMORY", "USAGE", key).(int64) + entry + places
	}
	each := sum / clients
	t.Logf("an attacking client takes %d octets, in %d keys of %d clients", each, len(keys), clients)
	if each > most || len(keys) < 2*clients {
		t.Errorf("an attacking client takes %d octets, and may take %d", each, most)
	}
}

// fill records five failures of each client.
func fill(b testing.TB, s *Store, clients int) {
	rules := storetest.Rules()
	const batch = 100
	var next atomic.Int64
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			ops, out := make([]store.Op, 0, 5*batch), make([]store.Standing, 5*batch)
			for n := int(next.Add(batch)) - batch; n < clients; n = int(next.Add(batch)) - batch {
				ops = ops[:0]
				for i := range 5 * batch {
					ops = append(ops, guess(store.Record, n+i/5, uint32(i%5)+1, rules))
				}
				if err := s.Do(context.Background(), ops, out); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// settledMemory is what the data take, once a table that grows has grown, and
// without the buffers of connections.
func settledMemory(b testing.TB, srv *server) int64 {
	time.Sleep(1500 * time.Millisecond)
	memory := map[string]int64{"used_memory": 0, "mem_clients_normal": 0}
	for line := range strings.SplitSeq(srv.do("INFO", "memory").(string), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if _, wanted := memory[name]; wanted {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			memory[name] = n
		}
	}
	if memory["used_memory"] == 0 {
		b.Fatal("INFO does not tell the memory")
	}
	return memory["used_memory"] - memory["mem_clients_normal"]
}

// BenchmarkStore measures operations a second beside go-redis's PING with as
// many callers: "xPING" is their ratio, "Redis-µs" what
// one takes of Redis's processor time.
func BenchmarkStore(b *testing.B) {
	srv := startServer(b, "--appendonly", "no")
	s := openStore(b, testConfig(srv.addr), Options{})
	r := storetest.Rules()
	r.HalfLife = 1 << 30
	var n atomic.Int64
	ctx := context.Background()
	attack := func(v store.Verb) func() error {
		return func() error {
			i := n.Add(1)
			op := guess(v, int(i%10_000), uint32(i/10_000), r)
			return s.Do(ctx, []store.Op{op}, make([]store.Standing, 1))
		}
	}
	// An attempt is a question and its report.
	attempt := func(o score.Outcome, first, accounts int64) func() error {
		return func() error {
			i := n.Add(1)
			op, out := guess(store.Reserve, int(first+i%accounts), uint32(i/accounts), r), make([]store.Standing, 1)
			if o == score.Success {
				op = guess(store.Reserve, int(first+i%accounts), 1, r)
			}
			if err := s.Do(ctx, []store.Op{op}, out); err != nil {
				return err
			}
			op.Verb, op.Outcome = store.Record, o
			return s.Do(ctx, []store.Op{op}, out)
		}
	}
	batch := func() error {
		ops := make([]store.Op, 50)
		i := n.Add(int64(len(ops)))
		for j := range ops {
			ops[j] = guess(store.Record, (int(i)+j)%10_000, uint32(i/10_000), r)
		}
		return s.Do(ctx, ops, make([]store.Standing, len(ops)))
	}
	works := []struct {
		name string
		each int // operations
		do   func() error
	}{
		{"Look", 1, attack(store.Look)}, {"Reserve", 1, attack(store.Reserve)}, {"Record", 1, attack(store.Record)},
		{"Attack", 2, attempt(score.Failure, 40_000, 10_000)}, {"Login", 2, attempt(score.Success, 20_000, 1000)},
		{"RecordsOf50", 50, batch},
	}
	for _, callers := range []int{1, 16, 128} {
		for _, w := range works {
			b.Run(fmt.Sprintf("%s/%d", w.name, callers), func(b *testing.B) {
				ping := rate(b, callers, func() error { return s.client.Ping(ctx).Err() })
				before := processorTime(b, srv)
				began := time.Now()
				got := rate(b, callers, w.do) * float64(w.each)
				done := got * time.Since(began).Seconds()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric((processorTime(b, srv)-before)/done, "Redis-µs")
				b.ReportMetric(got, "op/s")
				b.ReportMetric(ping, "PING/s")
				b.ReportMetric(got/ping, "xPING")
			})
		}
	}
}

// BenchmarkLatency measures how long a question and a report take at the rate of a
// large mail host, beside PING at the same rate.
func BenchmarkLatency(b *testing.B) {
	const perSecond, during = 500, 3 * time.Second
	srv := startServer(b, "--appendonly", "no")
	s := openStore(b, testConfig(srv.addr), Options{})
	r, ctx := storetest.Rules(), context.Background()
	one := func(v store.Verb) func(i int) error {
		return func(i int) error {
			return s.Do(ctx, []store.Op{guess(v, i%1000, uint32(i/1000)+1, r)}, make([]store.Standing, 1))
		}
	}
	for _, w := range []struct {
		name string
		do   func(i int) error
	}{{"Ping", func(int) error { return s.client.Ping(ctx).Err() }}, {"Reserve", one(store.Reserve)}, {"Record", one(store.Record)}} {
		b.Run(w.name, func(b *testing.B) {
			took := make([]time.Duration, perSecond*int(during.Seconds()))
			ticker := time.NewTicker(time.Second / perSecond)
			defer ticker.Stop()
			var all sync.WaitGroup
			for i := range took {
				<-ticker.C
				all.Go(func() {
					began := time.Now()
					if err := w.do(i); err != nil {
						b.Error(err)
					}
					took[i] = time.Since(began)
				})
			}
			all.Wait()
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// processorTime is how many microseconds of a processor a Redis has used.
func processorTime(b testing.TB, srv *server) (sum float64) {
	for line := range strings.SplitSeq(srv.do("INFO", "cpu").(string), "\r\n") {
		if name, seconds, _ := strings.Cut(line, ":"); name == "used_cpu_user" || name == "used_cpu_sys" {
			n, err := strconv.ParseFloat(seconds, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += 1e6 * n
		}
	}
	return sum
}

// rate is how often a second so many callers carry out something.
func rate(b *testing.B, callers int, do func() error) float64 {
	const during = 700 * time.Millisecond
	var done atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(start) < during {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}

// BenchmarkFeed is what 256 events cost on their way to Redis.
func BenchmarkFeed(b *testing.B) {
	s := openStore(b, testConfig(startServer(b, "--appendonly", "no").addr), Options{})
	f, texts := s.Feed("test"), make([][]byte, 256)
	for i := range texts {
		texts[i] = []byte(strings.Repeat("x", 400))
	}
	for b.Loop() {
		if err := f.Append(b.Context(), texts, 50_000, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
