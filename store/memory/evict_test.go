package memory

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

func smallest() Config { return Config{Subjects: 10_000, Bans: 1000, Familiar: 1000} }

// stranger is the n-th of many addresses, which are nobody else's.
func stranger(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

func recordFailure(t *testing.T, s *Store, p netip.Prefix, token int) store.Standing {
	t.Helper()
	out := make([]store.Standing, 1)
	op := store.Op{
		Verb: store.Record, Client: p, Secret: score.Sure, Token: uint32(token),
		Outcome: score.Failure, Rules: storetest.Rules(),
	}
	if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func clientScore(t *testing.T, s *Store, p netip.Prefix) score.Milli {
	t.Helper()
	out := make([]store.Standing, 1)
	op := store.Op{Client: p, Rules: storetest.Rules()}
	if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
		t.Fatal(err)
	}
	return out[0].Client.Score
}

func TestFloodEvictsNoHotOffenders(t *testing.T) {
	c := newClock()
	s := open(t, smallest(), quick("", c))
	for n := range 100 {
		client, _ := attacker(n)
		for i := range 15 {
			recordFailure(t, s, client, i)
		}
	}
	for n := range 20 * 10_000 {
		if n%100 == 0 {
			c.advance(10 * time.Millisecond)
		}
		recordFailure(t, s, stranger(n), 1)
	}
	for n := range 100 {
		client, _ := attacker(n)
		if got := clientScore(t, s, client); got < 14*score.Point {
			t.Errorf("offender %d has %d left", n, got)
		}
	}
	live := s.sum(func(p *shard) uint64 { return uint64(p.heads.live()) })
	if live > 10_000+shards || live < 9_000 {
		t.Errorf("%v subjects", live)
	}
	// The flood replaces itself: its latest are known.
	known := 0
	for n := 20*10_000 - 1000; n < 20*10_000; n++ {
		if clientScore(t, s, stranger(n)) > 0 {
			known++
		}
	}
	if known < 500 {
		t.Errorf("only %d of the latest 1000 are known", known)
	}
}

func TestNewcomerMayLose(t *testing.T) {
	s := open(t, smallest(), quick("", newClock()))
	for n := range 11_000 {
		for i := range 3 {
			recordFailure(t, s, stranger(n), i)
		}
	}
	lost := s.sum(func(p *shard) uint64 { return p.lost })
	for n := range 500 {
		recordFailure(t, s, stranger(20_000+n), 1)
	}
	if got := s.sum(func(p *shard) uint64 { return p.lost }) - lost; got < 400 {
		t.Errorf("only %v of 500 lost against subjects with more points", got)
	}
}

func TestPlacesInFlightAreNotEvicted(t *testing.T) {
	c := newClock()
	s := open(t, smallest(), quick("", c))
	out := make([]store.Standing, 1)
	held := store.Op{
		Verb: store.Reserve, Client: stranger(0), Secret: score.Sure, Token: 1, Guess: 1, Rules: storetest.Rules(),
	}
	if err := s.Do(context.Background(), []store.Op{held}, out); err != nil {
		t.Fatal(err)
	}
	flood := func(from int) {
		for n := range 40_000 {
			for i := range 2 {
				recordFailure(t, s, stranger(from+n), i)
			}
		}
	}
	flood(1)
	held.Verb = store.Look
	if _ = s.Do(context.Background(), []store.Op{held}, out); out[0].Client.InFlight != score.Point {
		t.Error("the place was lost")
	}
	c.advance(11 * time.Second)
	flood(100_000)
	key := s.hasher.Prefix('c', stranger(0))
	if p := &s.shards[shardOf(key)]; p.index.find(key, &p.heads) != 0 {
		t.Error("a lapsed place still protects its subject")
	}
}

func TestDecayedSubjectsAreFreed(t *testing.T) {
	c := newClock()
	s := open(t, testConfig(), quick("", c))
	for n := range 5000 {
		recordFailure(t, s, stranger(n), 1)
	}
	c.advance(48 * time.Hour)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := s.sum(func(p *shard) uint64 { return uint64(p.heads.live() + p.cells.live()) })
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v cells are left", left)
		}
	}
}

func TestFamiliarPairsAreBounded(t *testing.T) {
	for name, path := range map[string]string{"memory": "", "file": t.TempDir() + "/state.db"} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s, err := Open(smallest(), quick(path, c))
			if err != nil {
				t.Fatal(err)
			}
			out := make([]store.Standing, 1)
			for n := range 3000 {
				client, network := attacker(n)
				op := store.Op{
					Verb: store.Record, Client: client, Network: network, Account: client.String(),
					Secret: score.Sure, Token: 1, Outcome: score.Success, Rules: storetest.Rules(),
				}
				if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
					t.Fatal(err)
				}
				if n%500 == 0 {
					c.advance(time.Hour)
					time.Sleep(20 * time.Millisecond)
				}
			}
			closeStore(t, s)
			if n := s.people.pairs.Load(); n != 1000 {
				t.Errorf("%d pairs, want 1000", n)
			}
			if n := s.people.knowing.Load(); n != 1000 {
				t.Errorf("passwords of %d accounts, want 1000", n)
			}
			if path == "" {
				return
			}
			again := open(t, Config{Subjects: 10_000, Bans: 1000, Familiar: 100_000}, quick(path, c))
			if n := again.people.pairs.Load(); n != 1000 {
				t.Errorf("the file has %d pairs, want 1000", n)
			}
		})
	}
}

func TestLedgerIsBounded(t *testing.T) {
	s := open(t, smallest(), quick("", newClock()))
	put := func(n int) error {
		_, err := s.Put(context.Background(), store.Entry{Kind: store.OperatorBan, Prefix: stranger(n)})
		return err
	}
	for n := range 2000 {
		if err := put(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(2000); err != store.ErrFull {
		t.Errorf("got error %v", err)
	}
	if err := put(5); err != nil {
		t.Errorf("replacing: %v", err)
	}
	if ok, err := s.Remove(context.Background(), store.Entry{Kind: store.OperatorBan, Prefix: stranger(5)}); !ok || err != nil {
		t.Error(ok, err)
	}
	if err := put(2000); err != nil {
		t.Errorf("after a removal: %v", err)
	}
}
