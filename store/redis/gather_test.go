package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

// counter is what a gatherer sends to: it notes the runs, and answers when it may.
type counter struct {
	mu   sync.Mutex
	runs [][]*call
	may  chan struct{} // nil: at once
	err  error
}

func (c *counter) send(ctx context.Context, runs [][]*call) error {
	c.mu.Lock()
	c.runs = append(c.runs, runs...)
	c.mu.Unlock()
	if c.may != nil {
		select {
		case <-c.may:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.err
}

func (c *counter) sizes() (sizes []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		sizes = append(sizes, len(r))
	}
	return sizes
}

// gathering starts a gatherer over a counter. The function returned ends it.
func gathering(t *testing.T, c *counter, limit time.Duration) (*gatherer, func()) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	g := newGatherer(ctx, &running, limit, c.send)
	end := func() { stop(); running.Wait() }
	t.Cleanup(end)
	return g, end
}

// callsOf are the calls of one caller, under rules of some name.
func callsOf(n int, rules string) []*call {
	a := &attempt{rules: rules}
	all := make([]*call, n)
	for i := range all {
		all[i] = &call{attempt: a, operation: fmt.Sprintf("%s %d", rules, i)}
	}
	return all
}

// busy gives each lane a call that is not answered yet.
func busy(t *testing.T, g *gatherer, c *counter) *sync.WaitGroup {
	t.Helper()
	var all sync.WaitGroup
	for i := range lanes {
		all.Go(func() { _ = g.do(context.Background(), callsOf(1, "first")) })
		eventually(t, "a lane is busy", func() bool { return len(c.sizes()) == i+1 })
	}
	return &all
}

// askAll has so many callers come while all lanes are busy, one after the other, and
// waits for what they are told.
func askAll(t *testing.T, g *gatherer, c *counter, callers [][]*call) []error {
	t.Helper()
	all := busy(t, g, c)
	told := make([]error, len(callers))
	for i, calls := range callers {
		all.Go(func() { told[i] = g.do(context.Background(), calls) })
		eventually(t, "it waits", func() bool { return len(g.queue) == i+1 })
	}
	close(c.may)
	all.Wait()
	return told
}

func TestCallsThatComeTogetherAreJoined(t *testing.T) {
	c := &counter{may: make(chan struct{})}
	g, _ := gathering(t, c, 10*time.Second)
	told := askAll(t, g, c, [][]*call{callsOf(2, "a"), callsOf(1, "a"), callsOf(2, "b"), callsOf(joined, "b"), callsOf(2, "b")})
	if err := errors.Join(told...); err != nil {
		t.Error(err)
	}
	// Rules are apart, order is kept, and what is full takes no more.
	if got := c.sizes()[lanes:]; !slices.Equal(got, []int{3, 2 + joined, 2}) {
		t.Errorf("runs of %v calls", got)
	}
	if last := c.runs[lanes][2]; last.operation != "a 0" {
		t.Errorf("the second caller's came as %q", last.operation)
	}
}

// A call that comes alone is sent at once, and one that comes right after it is not
// forgotten.
func TestACallAloneGoesAtOnce(t *testing.T) {
	c := &counter{}
	g, _ := gathering(t, c, time.Second)
	for range 3 {
		if err := g.do(t.Context(), callsOf(1, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.sizes(); !slices.Equal(got, []int{1, 1, 1}) {
		t.Errorf("runs of %v calls", got)
	}
}

func TestOnesFailureIsNotAnothers(t *testing.T) {
	c := &counter{may: make(chan struct{})}
	g, _ := gathering(t, c, 10*time.Second)
	good, bad := callsOf(2, "a"), callsOf(2, "a")
	bad[1].err = errors.New("out of memory")
	if told := askAll(t, g, c, [][]*call{good, bad}); told[0] != nil || told[1] == nil {
		t.Errorf("told %v", told)
	}
	c.err = errors.New("no connection")
	if err := g.do(t.Context(), callsOf(1, "a")); !errors.Is(err, c.err) {
		t.Errorf("told %v", err)
	}
}

// Who waits is told in time, whatever Redis does, and is not asked for any more.
func TestWhoGivesUpIsNotSent(t *testing.T) {
	c := &counter{may: make(chan struct{})}
	g, end := gathering(t, c, 10*time.Second)
	first := busy(t, g, c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if err := g.do(ctx, callsOf(1, "late")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told %v", err)
	}
	close(c.may)
	first.Wait()
	if err := g.do(t.Context(), callsOf(1, "next")); err != nil {
		t.Error(err)
	}
	for _, r := range c.runs {
		if r[0].attempt.rules == "late" {
			t.Error("a call was sent whose caller had given up")
		}
	}
	end()
	if err := g.do(t.Context(), callsOf(1, "a")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a gatherer that has ended says %v", err)
	}
}

// A run that is never answered ends by itself.
func TestARunHasADeadline(t *testing.T) {
	c := &counter{may: make(chan struct{})}
	g, _ := gathering(t, c, 20*time.Millisecond)
	if err := g.do(t.Context(), callsOf(1, "a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("told %v", err)
	}
}

// An operation that fails in the script does not take others of the same run with it.
func TestAnOperationFailsAlone(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	ops := []store.Op{guess(store.Record, 1, 1, storetest.Rules()), guess(store.Record, 2, 1, storetest.Rules())}
	var run []*call
	for i := range ops {
		a := s.newAttempt(&ops[i], 0)
		account, network := a.accountCall(record, 0, 0), a.networkCall(record, asked)
		run = append(run, &account, &network)
	}
	srv.do("SET", run[1].keys[3], "no list of friends")
	if err := s.send(t.Context(), [][]*call{run}); err != nil {
		t.Fatal(err)
	}
	for i, c := range run {
		if (c.err != nil) != (i == 1) || (c.reply == "") != (i == 1) {
			t.Errorf("call %d: %q, %v", i, c.reply, c.err)
		}
	}
	out := make([]store.Standing, 1)
	if err := s.Do(t.Context(), ops[:1], out); err == nil {
		t.Error("half an operation failed, and nobody was told")
	}
}

// A server that has become a replica fails the whole run, by the word at which the
// client lets go of the connection and looks for the master.
func TestAReplicaIsLeft(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	op := guess(store.Record, 1, 1, storetest.Rules())
	doOne(t, s, op)
	srv.do("REPLICAOF", "127.0.0.1", 1)
	a := s.newAttempt(&op, 0)
	account := a.accountCall(record, 0, 0)
	if err := s.send(t.Context(), [][]*call{{&account}}); !goredis.HasErrorPrefix(err, "READONLY") {
		t.Errorf("a replica says %v, and the call %v", err, account.err)
	}
	srv.do("REPLICAOF", "NO", "ONE")
	doOne(t, s, op)
}
