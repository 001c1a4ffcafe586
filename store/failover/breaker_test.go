package failover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

var errOnce = errors.New("once")

func closedBreaker() *breaker {
	l := newBreaker(10 * time.Millisecond)
	l.close()
	return l
}

func TestBreakerOpensAfterAFewFailuresInARow(t *testing.T) {
	l := closedBreaker()
	for range 2 * failuresInRow {
		if l.failed(errOnce, false) {
			t.Fatal("opened for every second call")
		}
		if l.failed(errOnce, false) {
			t.Fatal("opened for two in a row")
		}
		for range 6 {
			l.answered()
		}
	}
	for i := range failuresInRow {
		if got, want := l.failed(errOnce, false), i == failuresInRow-1; got != want {
			t.Errorf("failure %d: opened %v", i, got)
		}
	}
	if l.failed(errOnce, false) || l.isUp() {
		t.Error("it did not stay open")
	}
}

func TestBreakerOpensWhereAPartIsAway(t *testing.T) {
	l := closedBreaker()
	for i := range 100 {
		if l.failed(errOnce, false) {
			if i+1 < failuresMixed {
				t.Errorf("opened after %d", i+1)
			}
			return
		}
		l.answered()
	}
	t.Error("half of the calls fail, and it stays closed")
}

func TestBreakerOpensAtOnceWhereNobodyListens(t *testing.T) {
	refused := fmt.Errorf("looking: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	if !hopeless(refused) || hopeless(context.DeadlineExceeded) || hopeless(errOnce) {
		t.Error("hopeless is something else")
	}
	if !closedBreaker().failed(refused, true) {
		t.Error("it did not open")
	}
}

// A breaker that opens again and again is tried less and less often.
func TestBreakerThatFlaps(t *testing.T) {
	l := closedBreaker()
	for want := 10 * time.Millisecond; want < 2*longestPause; want *= 2 {
		l.failed(errOnce, true)
		if got := l.firstPause(); got != min(want, longestPause) {
			t.Errorf("pauses %v, want %v", got, want)
		}
		l.close()
	}
	l.since = time.Now().Add(-2 * settledAfter)
	l.failed(errOnce, true)
	if got := l.firstPause(); got != 10*time.Millisecond {
		t.Errorf("pauses %v after it was settled", got)
	}
}

// Flapping is told once, and once when it is over.
func TestFlappingIsTold(t *testing.T) {
	l := closedBreaker()
	l.last = errOnce // it was away before
	if l.flapping() || l.unsteady() != "" {
		t.Error("it flaps without having opened")
	}
	l.since = time.Now().Add(-2 * settledAfter)
	l.failed(errOnce, true)
	l.close()
	if l.flapping() {
		t.Error("it flaps after one opening")
	}
	l.failed(errOnce, true)
	if !l.flapping() || l.flapped() {
		t.Error("the second opening, soon after, is not told as flapping")
	}
	l.close()
	l.failed(errOnce, true)
	if !l.flapped() {
		t.Error("the third is told again")
	}
	if l.settle() {
		t.Error("it settled while it is open")
	}
	l.close()
	if l.settle() || l.unsteady() == "" {
		t.Error("it settled at once")
	}
	l.since = time.Now().Add(-2 * settledAfter)
	if !l.settle() || l.settle() || l.flapping() || l.unsteady() != "" {
		t.Error("it did not settle, or twice")
	}
}

func newTestJournal(limit int) *journal {
	return newJournal(limit, prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"}))
}

func op(id int) store.Op { return store.Op{Verb: store.Record, ID: uint64(id)} }

func TestJournalKeepsOrder(t *testing.T) {
	j := newTestJournal(1000)
	to, next, added := make([]item, 7), 0, 0
	for round := range 500 {
		for range round % 11 {
			j.records([]store.Op{op(added), {Verb: store.Look}}, make([]store.Standing, 2))
			added++
		}
		n, first := j.oldest(to)
		for i := range n {
			if got := to[i].op.ID; got != uint64(next) {
				t.Fatalf("got %d, want %d", got, next)
			}
			next++
		}
		j.done(first + uint64(n))
		if j.len() != added-next {
			t.Fatalf("%d left, want %d", j.len(), added-next)
		}
	}
}

// What is dropped for others while it is being sent is not dropped twice.
func TestJournalOverflowsWhileItIsSent(t *testing.T) {
	j := newTestJournal(10)
	for i := range 10 {
		j.add(item{op: op(i)})
	}
	n, first := j.oldest(make([]item, 4))
	for i := range 6 {
		j.add(item{op: op(10 + i)})
	}
	j.done(first + uint64(n))
	to := make([]item, 10)
	if n, _ := j.oldest(to); n != 10 || to[0].op.ID != 6 || to[9].op.ID != 15 {
		t.Errorf("%d items from %d to %d", n, to[0].op.ID, to[9].op.ID)
	}
}

// picky is a remote store that does not take some Records.
type picky struct {
	Remote
	refuses func(id uint64) bool
	taken   map[uint64]int
}

func (p *picky) Do(_ context.Context, ops []store.Op, _ []store.Standing) error {
	for i := range ops {
		if p.refuses(ops[i].ID) {
			return errOnce
		}
		p.taken[ops[i].ID]++
	}
	return nil
}

func (p *picky) ForgetClient(context.Context, netip.Prefix) error { return errOnce }

// One damaged key does not part a host from Redis for good, and a Redis that
// takes nothing costs nothing.
func TestWhatIsNotTakenIsGivenUp(t *testing.T) {
	p := &picky{taken: map[uint64]int{}, refuses: func(uint64) bool { return true }}
	s := &Store{remote: p, log: zap.NewNop(), meters: newMeters(), journal: newTestJournal(1000)}
	for i := range 600 {
		s.journal.add(item{op: op(i)})
	}
	k := keeper{Store: s, batch: replayBatch}
	try := func(later time.Duration) (int, error) {
		if !k.stuckSince.IsZero() {
			k.stuckSince = k.stuckSince.Add(-later)
		}
		return k.replay(context.Background())
	}
	for range 3 {
		if n, err := try(stubbornTime); err == nil || n != 0 || s.journal.len() != 600 {
			t.Fatalf("%d handed over, %d left, error %v", n, s.journal.len(), err)
		}
	}
	p.refuses = func(id uint64) bool { return id == 77 }
	for range 12 {
		_, _ = try(0)
	}
	if s.journal.len() != 600-77 || len(p.taken) != 77 {
		t.Errorf("%d left of 600, %d taken", s.journal.len(), len(p.taken))
	}
	if _, err := try(stubbornTime); err != nil || s.journal.len() != 0 || len(p.taken) != 599 {
		t.Errorf("%d left, %d taken, error %v", s.journal.len(), len(p.taken), err)
	}
	s.journal.add(item{forget: forgetClient})
	s.journal.add(item{op: op(1000)})
	_, _ = try(0)
	if _, err := try(hopelessTime); err != nil || p.taken[1000] != 1 {
		t.Errorf("what cannot be forgotten keeps the others back: %v", err)
	}
}
