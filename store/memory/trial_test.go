package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// outcomeOf is a judge that has made up its mind.
type outcomeOf score.Outcome

func (o outcomeOf) Judge(*store.Standing) score.Outcome { return score.Outcome(o) }

// To try is a Reserve or a Look and then a Record: two stores of the same key, one
// that tries and one that does both, agree at each of many random steps, and hold the
// same in the end.
func TestTryIsReserveAndRecord(t *testing.T) { tryIsReserveAndRecord(t, false) }

// Whoever is alone has the same of it, but that what has decayed to nothing may be gone.
func TestTryAlone(t *testing.T) { tryIsReserveAndRecord(t, true) }

func tryIsReserveAndRecord(t *testing.T, alone bool) {
	rules := storetest.Rules()
	rules.FurtherAccount, rules.UnknownAccount = score.Point/2, score.Point
	c := newClock()
	o := quick("", c)
	o.Key, o.SweepEvery = [16]byte{3}, time.Hour
	two := open(t, smallest(), o)
	o.Alone = alone
	one := open(t, smallest(), o)
	r := rand.New(rand.NewPCG(8, 9))
	ctx := context.Background()
	for step := range 60_000 {
		c.advance(time.Duration(r.Int64N(int64(3 * time.Second))))
		switch r.IntN(5000) {
		case 0:
			c.advance(time.Duration(r.Int64N(int64(100 * time.Hour))))
		case 1:
			c.advance(-time.Duration(r.Int64N(int64(10 * time.Hour))))
		}
		op := store.Op{
			Verb: store.Verb(r.IntN(2)), ID: r.Uint64(), At: c.now().Add(-time.Duration(r.IntN(3000)) * time.Millisecond),
			Token: r.Uint32N(5), Secret: score.Secret(r.IntN(4)), Guess: r.Uint64N(20), LapseCounts: r.IntN(2) == 0,
			AccountExempt: r.IntN(10) == 0, Count: r.IntN(3), Rules: rules,
		}
		if r.IntN(10) > 0 {
			a := netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(2)), byte(r.IntN(5))})
			op.Client = netip.PrefixFrom(a, 32)
			op.Network, _ = a.Prefix(24)
		}
		if r.IntN(10) > 0 {
			op.Account = fmt.Sprintf("user%d", r.IntN(6))
		}
		outcome := score.Outcome(1 + r.IntN(int(score.Ignored)))
		if r.IntN(4) == 0 { // somebody asks, and is answered for later, or never
			op.Verb = store.Reserve
			ops, x, y := []store.Op{op}, make([]store.Standing, 1), make([]store.Standing, 1)
			if err := one.Do(ctx, ops, x); err != nil {
				t.Fatal(err)
			}
			if err := two.Do(ctx, ops, y); err != nil {
				t.Fatal(err)
			}
			if x[0] != y[0] {
				t.Fatalf("step %d: %+v gives %+v, want %+v", step, op, x[0], y[0])
			}
			continue
		}
		var asked, recorded store.Standing
		if err := one.Try(ctx, &op, outcomeOf(outcome), &asked, &recorded); err != nil {
			t.Fatal(err)
		}
		ops, want := []store.Op{op, op}, make([]store.Standing, 2)
		ops[1].Verb, ops[1].Outcome = store.Record, outcome
		if err := two.Do(ctx, ops, want); err != nil {
			t.Fatal(err)
		}
		if asked != want[0] || recorded != want[1] {
			t.Fatalf("step %d: %+v as %d gives\n%+v\n%+v, want\n%+v\n%+v", step, op, outcome, asked, recorded, want[0], want[1])
		}
	}
	for i := range one.shards {
		a, b := &one.shards[i], &two.shards[i]
		a.mu.Lock()
		b.mu.Lock()
		defer a.mu.Unlock()
		defer b.mu.Unlock()
		if alone && a.index.live < b.index.live {
			continue
		}
		if a.index.live != b.index.live || a.cells.live() != b.cells.live() {
			t.Errorf("shard %d holds %d subjects in %d cells, want %d in %d", i, a.index.live, a.cells.live(), b.index.live, b.cells.live())
		}
	}
}

// Where there is no room the subjects of one attempt may have to go for each other.
func TestTryWithoutRoom(t *testing.T) {
	o := quick("", newClock())
	o.SweepEvery = time.Hour
	s := open(t, smallest(), o)
	for i := range s.shards {
		p := &s.shards[i]
		p.mu.Lock()
		p.init(newArena(), 4, 1)
		p.mu.Unlock()
	}
	r := rand.New(rand.NewPCG(1, 2))
	var asked, recorded store.Standing
	for n := range 40_000 {
		client, network := attacker(r.IntN(2000))
		op := store.Op{
			Verb: store.Reserve, ID: uint64(n + 1), Client: client, Network: network, Account: fmt.Sprintf("user%d", r.IntN(2000)),
			Token: r.Uint32(), Secret: score.Sure, Rules: storetest.Rules(),
		}
		if err := s.Try(context.Background(), &op, outcomeOf(score.Failure), &asked, &recorded); err != nil {
			t.Fatal(err)
		}
	}
	for i := range s.shards {
		p := &s.shards[i]
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.index.live != p.heads.live() || p.index.live > 4 {
			t.Fatalf("shard %d: %d subjects and %d heads", i, p.index.live, p.heads.live())
		}
		for slot := range p.index.slots() {
			if h := (head{p.heads.at(slot)}); !h.used() || p.index.find(h.key(), &p.heads) != slot {
				t.Fatalf("shard %d: a subject is found under another's name", i)
			}
			p.drop(slot)
		}
		if p.cells.live() != 0 {
			t.Fatalf("shard %d: %d cells leaked", i, p.cells.live())
		}
	}
}

func BenchmarkTry(b *testing.B) {
	s, ops := crowd(b, store.Reserve)
	var asked, recorded store.Standing
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		op := &ops[n%len(ops)]
		op.Guess, op.Token = uint64(n), uint32(n/7)
		if err := s.Try(context.Background(), op, outcomeOf(score.Failure), &asked, &recorded); err != nil {
			b.Fatal(err)
		}
	}
}
