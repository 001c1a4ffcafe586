package memory

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// Packing a subject into cells and back loses nothing: a shard and a plain map
// of subjects take the same random steps and agree at each.
func TestShardAgreesWithPlainSubjects(t *testing.T) {
	rules := storetest.Rules()
	rules.FurtherAccount, rules.UnknownAccount = score.Point/2, score.Point
	r := rand.New(rand.NewPCG(3, 4))
	var s shard
	s.init(newArena(), 1000, 7)
	plain := make(map[uint64]*score.Subject)
	now := int64(1_800_000_000_000)
	for step := range 300_000 {
		now += r.Int64N(2000)
		if r.IntN(5000) == 0 {
			now += r.Int64N(100 * 3600 * 1000)
		}
		if r.IntN(5000) == 0 {
			now -= r.Int64N(100 * 3600 * 1000) // the clock is set back
		}
		key := 1 + r.Uint64N(40)
		v := visit{
			deed: deed(r.IntN(int(record) + 1)), kind: score.Kind(key % 4), key: key, wall: now, rules: rules, counts: r.IntN(2) == 0,
			event: score.Event{
				At: now - r.Int64N(5000), Entry: score.MakeEntry(r.Uint32N(5), r.Uint32N(60)), Guess: r.Uint64N(200),
				Outcome: score.Outcome(r.IntN(int(score.Crowded) + 1)), Secret: score.Secret(r.IntN(4)), Count: r.IntN(3),
			},
		}
		if v.deed == reserve {
			v.event.Outcome = score.Unknown
		}
		got := s.do(&v)
		sub := plain[key]
		if sub == nil {
			sub = &score.Subject{}
		}
		want := plainly(sub, &v)
		if got.reading != want {
			t.Fatalf("step %d: %+v gives %+v, want %+v", step, v, got.reading, want)
		}
		if plain[key] = sub; sub.Empty() {
			delete(plain, key)
		}
		if s.index.live > len(plain) || s.heads.live() != s.index.live {
			t.Fatalf("step %d: %d subjects and %d heads, want at most %d", step, s.index.live, s.heads.live(), len(plain))
		}
	}
	for slot := range s.index.slots() {
		s.mu.Lock()
		s.drop(slot)
		s.mu.Unlock()
	}
	if s.cells.live() != 0 || s.heads.live() != 0 {
		t.Errorf("%d cells leaked", s.cells.live())
	}
}

// plainly carries out a visit on a subject that is not packed, and keeps the
// change where a store keeps it.
func plainly(kept *score.Subject, v *visit) score.Reading {
	sub := *kept
	sub.Ring, sub.Places = slices.Clone(kept.Ring), slices.Clone(kept.Places)
	changed, added := sub.SetBack(v.wall, v.rules), score.Milli(0)
	sub.Touch(v.event.At, v.kind, v.rules)
	switch v.deed {
	case reserve:
		_, taken := sub.Reserve(v.kind, v.event, v.counts, v.rules)
		changed = changed || taken
	case settle:
		changed = sub.Settle(v.event) || changed
	case record:
		added, changed = sub.Record(v.kind, v.event, v.rules), true
		if v.event.Outcome == score.Success && v.kind != score.Network {
			sub.Forgive(v.event.Entry.Member(), v.rules)
		}
	}
	if changed {
		*kept = sub
	}
	reading := sub.Read()
	reading.Added = added
	return reading
}

// A watcher that sleeps through more changes than its queue holds is given a
// new snapshot.
func TestWatcherOverflow(t *testing.T) {
	s := open(t, Config{Subjects: 10_000, Bans: 100_000, Familiar: 1000}, quick("", newClock()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asleep, release := make(chan struct{}), make(chan struct{})
	type seen struct{ resets, entries int }
	done := make(chan seen, 1)
	go func() {
		var got seen
		_ = s.Watch(ctx, func(e store.Event) error {
			switch e.Kind {
			case store.Reset:
				got.resets++
				got.entries = 0
			case store.Put:
				got.entries++
			case store.Synced:
				if got.resets == 1 {
					close(asleep)
					<-release
				} else {
					done <- got
				}
			}
			return nil
		})
	}()
	<-asleep
	for n := range watcherQueue + 10 {
		if _, err := s.Put(ctx, store.Entry{Kind: store.OperatorBan, Prefix: stranger(n)}); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	select {
	case got := <-done:
		if got.resets != 2 || got.entries != watcherQueue+10 {
			t.Errorf("got %+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no second snapshot")
	}
}
