package memory

import (
	"context"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// A subject that nobody visits is set back by the sweep, one that somebody looks
// at by that; afterwards neither is of the future, whatever was asked.
func TestAClockThatIsSetBackReachesEverybody(t *testing.T) {
	for name, touch := range map[string]func(t *testing.T, s *Store){
		"looked at": func(t *testing.T, s *Store) { clientScore(t, s, stranger(1)) },
		"swept":     func(*testing.T, *Store) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			opts := quick("", c)
			if name == "looked at" {
				opts.SweepEvery = time.Hour
			}
			s := open(t, smallest(), opts)
			recordFailure(t, s, stranger(1), 1)
			held := store.Op{
				Verb: store.Reserve, Client: stranger(1), Secret: score.Sure, Token: 9, Guess: 9, Rules: storetest.Rules(),
			}
			if err := s.Do(context.Background(), []store.Op{held}, make([]store.Standing, 1)); err != nil {
				t.Fatal(err)
			}
			c.advance(-24 * time.Hour)
			touch(t, s)
			key := s.hasher.Prefix('c', stranger(1))
			p := &s.shards[shardOf(key)]
			now := c.ms.Load()
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
				p.mu.Lock()
				p.load(&p.desk, key)
				at, places := p.desk.At, p.desk.Places
				good := at <= now && len(places) == 1 && places[0].Until <= now+storetest.Rules().PlaceLife
				p.mu.Unlock()
				if good {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%d ms ahead, places %+v", at-now, places)
				}
			}
			if got := clientScore(t, s, stranger(1)); got != score.Point {
				t.Errorf("score %d", got)
			}
		})
	}
}

// In a replay the clock runs as fast as the log is read: what is swept meanwhile is as
// if nobody swept.
func TestSweepingChangesNoScoreWhileTheClockRuns(t *testing.T) {
	swept, left := newClock(), newClock()
	o := quick("", swept)
	o.Key, o.SweepEvery = [16]byte{1}, time.Millisecond
	one := open(t, smallest(), o)
	o.Now, o.SweepEvery = left.now, time.Hour
	two := open(t, smallest(), o)
	for n := range 60_000 {
		swept.advance(30 * time.Second)
		left.advance(30 * time.Second)
		recordFailure(t, one, stranger(n%50), n)
		recordFailure(t, two, stranger(n%50), n)
		if a, b := clientScore(t, one, stranger(n%50)), clientScore(t, two, stranger(n%50)); a != b {
			t.Fatalf("after %d failures the score is %d, without the sweep %d", n+1, a, b)
		}
	}
}
