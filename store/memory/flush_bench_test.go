package memory

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// BenchmarkFlush writes what five seconds at 5,000 operations each second have
// changed among 100,000 attackers, while as many operations go on and bans are
// made. Nothing of a shard's size may be held up by it.
func BenchmarkFlush(b *testing.B) {
	const perSecond, clients = 5000, 100_000
	path := b.TempDir() + "/state.db"
	s := open(b, Config{Subjects: 1_000_000, Bans: 1_000_000, Familiar: 1000}, Options{Path: path, FlushEvery: time.Hour})
	rules := storetest.Rules()
	out, token := make([]store.Standing, 1), uint32(0)
	attempt := func(n int) {
		token++
		client, network := attacker(n)
		op := store.Op{
			Verb: store.Record, Client: client, Network: network, Account: client.String(), Token: token,
			Secret: score.Sure, Outcome: score.Failure, Rules: rules,
		}
		if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
			b.Fatal(err)
		}
	}
	for n := range clients {
		attempt(n)
	}
	if err := s.flush(); err != nil {
		b.Fatal(err)
	}
	var flushes, ops, puts []time.Duration
	bans := 0
	for b.Loop() {
		for range 5 * perSecond {
			attempt(rand.IntN(clients))
		}
		flushed := make(chan time.Duration)
		go func() {
			began := time.Now()
			if err := s.flush(); err != nil {
				b.Error(err)
			}
			flushed <- time.Since(began)
		}()
		banned := make(chan struct{})
		end := make(chan struct{})
		go func() {
			defer close(banned)
			for {
				select {
				case <-end:
					return
				default:
				}
				bans++
				began := time.Now()
				if _, err := s.Put(context.Background(), store.Entry{Kind: store.OperatorBan, Prefix: stranger(bans)}); err != nil {
					b.Error(err)
				}
				puts = append(puts, time.Since(began))
				time.Sleep(5 * time.Millisecond)
			}
		}()
		for ticker := time.NewTicker(time.Second / perSecond); ; {
			select {
			case d := <-flushed:
				flushes = append(flushes, d)
			case <-ticker.C:
				began := time.Now()
				attempt(rand.IntN(clients))
				ops = append(ops, time.Since(began))
				continue
			}
			break
		}
		close(end)
		<-banned
	}
	report := func(name string, list []time.Duration) {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1000, name+"-p99-ms")
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1000, name+"-max-ms")
	}
	report("flush", flushes)
	report("op", ops)
	report("ban", puts)
	if info, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "MB-file")
	}
	st := s.file.DB.Stats().TxStats
	b.ReportMetric(float64(st.GetPageAlloc())/float64(len(flushes)+1)/1e6, "MB/flush")
	b.ReportMetric(0, "ns/op")
}
