package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// checkPeople holds chains, counts and pairs against each other.
func checkPeople(t *testing.T, p *people) {
	t.Helper()
	networks, all := make(map[uint64]int), 0
	for i := range p.parts {
		part := &p.parts[i]
		chained := 0
		for account := range part.first {
			n := 0
			for key := range part.chain(account) {
				if _, there := part.pairs[key]; !there {
					t.Fatalf("the chain of account %d holds a pair that is gone", account)
				}
				networks[key.network]++
				n++
			}
			if n == 0 || n > maxNetworks {
				t.Fatalf("account %d has %d pairs", account, n)
			}
			chained += n
		}
		if chained != len(part.pairs) {
			t.Fatalf("%d pairs of %d are chained", chained, len(part.pairs))
		}
		all += chained
	}
	if got := p.pairs.Load(); got != int64(all) {
		t.Fatalf("%d pairs are counted, want %d", got, all)
	}
	counted := 0
	for i := range p.networks {
		for network, n := range p.networks[i].accounts {
			if int(n) != networks[network] {
				t.Fatalf("network %d: %d accounts are counted, want %d", network, n, networks[network])
			}
			counted++
		}
	}
	if counted != len(networks) {
		t.Fatalf("%d networks are counted, want %d", counted, len(networks))
	}
}

func TestPairsAreChained(t *testing.T) {
	p := newPeople(1500)
	r := rand.New(rand.NewPCG(8, 9))
	for step := range 60_000 {
		key := pairKey{account: uint64(r.IntN(40)) << 56, network: 1 + uint64(r.IntN(120))}
		switch r.IntN(8) {
		case 0, 1:
			p.remove(key)
		case 2:
			if r.IntN(50) == 0 {
				for _, k := range p.pairsOf(key.account) {
					p.remove(k)
				}
			}
		default:
			if _, evicted := p.befriend(key, 1+r.Uint32N(1000)); evicted && p.pairs.Load() > int64(p.limit) {
				t.Fatalf("%d pairs", p.pairs.Load())
			}
		}
		if step%1000 == 0 {
			checkPeople(t, p)
		}
	}
	checkPeople(t, p)
}

// Without a file many goroutines make pairs and others go for them.
func TestFamiliarAccountsAreCountedUnderLoad(t *testing.T) {
	p := newPeople(1000)
	var all sync.WaitGroup
	for w := range uint64(4) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(w, 1))
			for range 30_000 {
				key := pairKey{account: r.Uint64N(3000) << 50, network: 1 + r.Uint64N(50)}
				if r.IntN(5) == 0 {
					p.remove(key)
				} else {
					p.befriend(key, 1+r.Uint32N(1000))
				}
			}
		})
	}
	all.Wait()
	checkPeople(t, p)
}

func TestTheSoonestOfAnAccountGoes(t *testing.T) {
	p := newPeople(1000)
	for n := range uint64(maxNetworks) {
		p.befriend(pairKey{7, 100 + n}, uint32(1000-n))
	}
	if gone, evicted := p.befriend(pairKey{7, 1}, 2000); !evicted || gone != (pairKey{7, 100 + maxNetworks - 1}) {
		t.Errorf("gone is %v, %v", gone, evicted)
	}
	if gone, evicted := p.befriend(pairKey{7, 2}, 5); !evicted || gone != (pairKey{7, 2}) {
		t.Errorf("a new one that ends before all others: gone is %v, %v", gone, evicted)
	}
	if _, evicted := p.befriend(pairKey{8, 2}, 5); evicted {
		t.Error("another account made one go")
	}
	checkPeople(t, p)
}

// Whoever owns one account and many networks makes nobody else forgotten.
func TestOneAccountFlushesNobodysPairs(t *testing.T) {
	s := open(t, smallest(), quick("", newClock()))
	login := func(n int, account string) store.Standing {
		out := make([]store.Standing, 1)
		client, network := attacker(n)
		op := store.Op{
			Verb: store.Record, Client: client, Network: network, Account: account,
			Secret: score.Sure, Token: 1, Outcome: score.Success, Rules: storetest.Rules(),
		}
		for _, op.Verb = range []store.Verb{store.Record, store.Look} {
			if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
				t.Fatal(err)
			}
		}
		return out[0]
	}
	for n := range 900 {
		login(n, fmt.Sprintf("user%d@example.org", n))
	}
	for n := range 30_000 {
		login(n, "attacker@example.org")
	}
	if n := s.people.pairs.Load(); n != 900+maxNetworks {
		t.Errorf("%d pairs", n)
	}
	checkPeople(t, s.people)
	for n := range 900 {
		client, network := attacker(n)
		out := make([]store.Standing, 1)
		op := store.Op{Client: client, Network: network, Account: fmt.Sprintf("user%d@example.org", n), Rules: storetest.Rules()}
		if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
			t.Fatal(err)
		}
		if !out[0].Familiar || out[0].FamiliarAccounts != 1 {
			t.Fatalf("user %d: familiar %v, accounts %d", n, out[0].Familiar, out[0].FamiliarAccounts)
		}
	}
}

// The file has exactly the pairs of the memory, also those that went and came
// again in one batch.
func TestTheFileFollowsEvictions(t *testing.T) {
	c := newClock()
	opts := quick(filepath.Join(t.TempDir(), "state.db"), c)
	s := open(t, smallest(), opts)
	w, until := s.notes, uint32(c.ms.Load()/1000+86400)
	pair := func(n int) note { return note{pair: pairKey{5, uint64(n + 1)}, until: until} }
	var batch []note
	for n := range 2 * maxNetworks {
		batch = append(batch, pair(n))
	}
	batch = append(batch, pair(0), pair(1)) // of those that have gone meanwhile
	w.write(batch)
	w.write(nil)
	keys := func(s *Store) []uint64 {
		var networks []uint64
		for _, key := range s.people.pairsOf(5) {
			networks = append(networks, key.network)
		}
		slices.Sort(networks)
		return networks
	}
	before := keys(s)
	if len(before) != maxNetworks || before[0] != 1 {
		t.Fatalf("pairs %v", before)
	}
	closeStore(t, s)
	s = open(t, smallest(), opts)
	if after := keys(s); !slices.Equal(before, after) {
		t.Errorf("the file has %v, want %v", after, before)
	}
	c.advance(2 * 24 * time.Hour)
	for end := time.Now().Add(10 * time.Second); s.people.pairs.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("pairs are left")
		}
	}
}
