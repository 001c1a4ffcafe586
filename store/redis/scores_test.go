package redis

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

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

// guess is a failed login of the n-th attacker with a password.
func guess(v store.Verb, n int, token uint32, r *score.Rules) store.Op {
	client, network := attacker(n)
	return store.Op{
		Verb: v, ID: uint64(n)<<32 | uint64(token) + 1, Client: client, Network: network,
		Account: fmt.Sprintf("user%d@example.org", n), Token: token, Secret: score.Sure,
		Guess: uint64(n+1)<<32 | uint64(token), LapseCounts: true, Outcome: score.Failure, Rules: r,
	}
}

func doOne(t testing.TB, s *Store, op store.Op) store.Standing {
	t.Helper()
	out := make([]store.Standing, 1)
	if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// backends runs a test over a server and over a cluster.
func backends(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("standalone", func(t *testing.T) { test(t, testConfig(startServer(t, "--appendonly", "no").addr)) })
	t.Run("cluster", func(t *testing.T) { test(t, clusterConfig(startCluster(t, 0))) })
}

// TestParallelRecordsAreAllCounted has several hosts record at once, each report
// from two of them: nothing is lost and nothing doubled.
func TestParallelRecordsAreAllCounted(t *testing.T) {
	backends(t, func(t *testing.T, cfg Config) {
		r := storetest.Rules()
		r.HalfLife = 1 << 40
		high := score.Tiers{Refuse: 1000 * score.Point, Ban: 1000 * score.Point}
		r.Client, r.Network, r.Account = high, high, high
		hosts := []*Store{openStore(t, cfg, Options{}), openStore(t, cfg, Options{}), openStore(t, cfg, Options{})}
		var all sync.WaitGroup
		for worker := range 20 {
			all.Go(func() {
				for i := range 10 {
					op := guess(store.Record, 7, uint32(worker*10+i), r)
					op.Account = fmt.Sprintf("user%d@example.org", worker)
					doOne(t, hosts[worker%3], op)
					doOne(t, hosts[(worker+1)%3], op)
				}
			})
		}
		all.Wait()
		op := guess(store.Look, 7, 0, r)
		for worker := range 20 {
			op.Account = fmt.Sprintf("user%d@example.org", worker)
			got := doOne(t, hosts[0], op)
			// In a network's ring one of 4096 guesses of a client looks like another.
			network := got.Network.Score / score.Point
			if got.Account.Score != 10*score.Point || got.Client.Score != 200*score.Point || network < 190 || network > 200 {
				t.Errorf("%s: account %d, client %d, network %d", op.Account, got.Account.Score, got.Client.Score, got.Network.Score)
			}
		}
	})
}

// TestTheBudgetIsExactAcrossHosts has 64 callers on three hosts reserve at once.
func TestTheBudgetIsExactAcrossHosts(t *testing.T) {
	backends(t, func(t *testing.T, cfg Config) {
		r := storetest.Rules()
		hosts := []*Store{openStore(t, cfg, Options{}), openStore(t, cfg, Options{}), openStore(t, cfg, Options{})}
		var all sync.WaitGroup
		var passed atomic.Int64
		for i := range 64 {
			all.Go(func() {
				op := guess(store.Reserve, 1, uint32(i), r)
				op.Account = fmt.Sprintf("user%d@example.org", i)
				got := doOne(t, hosts[i%3], op)
				if !got.Full && !r.Refuses(score.Client, got.Client.Score) {
					passed.Add(1)
				}
			})
		}
		all.Wait()
		if n := passed.Load(); n != 10 {
			t.Errorf("%d of 64 attempts passed, want 10", n)
		}
	})
}

// TestScriptsAreSentAgain flushes the servers' scripts under load.
func TestScriptsAreSentAgain(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	r := storetest.Rules()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 50 {
				ops := []store.Op{guess(store.Record, worker*50+i, 1, r), guess(store.Look, worker*50+i, 1, r)}
				out := make([]store.Standing, 2)
				if err := s.Do(context.Background(), ops, out); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		srv.do("SCRIPT", "FLUSH")
	}
	all.Wait()
	for n := range 400 {
		if got := doOne(t, s, guess(store.Look, n, 1, r)); got.Client.Score < score.Point-2 || got.Account.Score < score.Point-2 {
			t.Fatalf("client %d: %+v", n, got)
		}
	}
	if testutil.ToFloat64(s.meters.reloaded) == 0 {
		t.Error("no script was sent again")
	}
}

// TestADeadlineHolds stops the server in its tracks.
func TestADeadlineHolds(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	r := storetest.Rules()
	doOne(t, s, guess(store.Record, 1, 1, r))
	if err := srv.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, v := range []store.Verb{store.Look, store.Reserve, store.Record} {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		start := time.Now()
		err := s.Do(ctx, []store.Op{guess(v, 1, 2, r)}, make([]store.Standing, 1))
		if took := time.Since(start); err == nil || took > 1500*time.Millisecond {
			t.Errorf("verb %d: %v after %v", v, err, took)
		}
		cancel()
	}
	if err := srv.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return s.Do(ctx, []store.Op{guess(store.Look, 1, 1, r)}, make([]store.Standing, 1)) == nil
	})
}

// TestAFloodFindsNoRoom fills Redis up to its limit: newcomers are not kept then,
// and those that are known go on.
func TestAFloodFindsNoRoom(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	cfg := testConfig(srv.addr)
	cfg.MaxKeys = 100
	s := openStore(t, cfg, Options{})
	r := storetest.Rules()
	doOne(t, s, guess(store.Record, 0, 1, r))
	for n := 1; n < 80; n++ {
		doOne(t, s, guess(store.Record, n, 1, r))
	}
	eventually(t, "the census notices", s.census.full.Load)
	size := srv.do("DBSIZE").(int64)
	for n := 1000; n < 1050; n++ {
		doOne(t, s, guess(store.Record, n, 1, r))
		if got := doOne(t, s, guess(store.Reserve, n, 2, r)); got.Client.Score != 0 || got.Full {
			t.Fatalf("a newcomer: %+v", got)
		}
	}
	if now := srv.do("DBSIZE").(int64); now != size {
		t.Errorf("%d keys became %d", size, now)
	}
	if got := doOne(t, s, guess(store.Record, 0, 2, r)); got.Client.Added != score.Point || got.Account.Distinct != 1 {
		t.Errorf("one that is known: %+v", got)
	}
	if doOne(t, s, guess(store.Look, 0, 9, r)).Client.Score < 2*score.Point-10 {
		t.Error("one that is known does not go on")
	}
	if testutil.ToFloat64(s.meters.untracked) != 100 {
		t.Errorf("untracked is %v", testutil.ToFloat64(s.meters.untracked))
	}
	srv.do("FLUSHALL")
	eventually(t, "there is room again", func() bool { return !s.census.full.Load() })
}

// TestHostsShareWhatTheyKnow holds that the key of the configuration and not the
// host decides.
func TestHostsShareWhatTheyKnow(t *testing.T) {
	cfg := testConfig(startServer(t, "--appendonly", "no").addr)
	r := storetest.Rules()
	one, other := openStore(t, cfg, Options{}), openStore(t, cfg, Options{})
	doOne(t, one, guess(store.Record, 1, 1, r))
	if got := doOne(t, other, guess(store.Look, 1, 1, r)); got.Client.Score < score.Point-1 {
		t.Errorf("the other host reads %+v", got.Client)
	}
	if one.Key() != other.Key() {
		t.Error("the keys differ")
	}
	cfg.HashKey = "another key of all"
	if third := openStore(t, cfg, Options{}); third.Key() == one.Key() {
		t.Error("the keys of two configurations are the same")
	}
}

// TestNeighboursOfALodger has several clients of one network, of which one is
// kept on the network's page.
func TestNeighboursOfALodger(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	c := newTestClock()
	s := openStore(t, testConfig(srv.addr), Options{Now: c.now})
	r := storetest.Rules()
	fail := func(host byte, token uint32) store.Standing {
		op := guess(store.Record, 1, token, r)
		a := op.Client.Addr().As4()
		a[3] = host
		op.Client = netip.PrefixFrom(netip.AddrFrom4(a), 32)
		return doOne(t, s, op)
	}
	keys := func() int64 { return srv.do("DBSIZE").(int64) }
	fail(1, 1)
	if keys() != 2 {
		t.Errorf("%d keys for a client, its network and an account", keys())
	}
	fail(2, 2)
	fail(2, 3)
	if got := fail(1, 4); got.Client.Score != 2*score.Point || got.Network.Score != 4*score.Point || keys() != 3 {
		t.Errorf("client %d, network %d, %d keys", got.Client.Score, got.Network.Score, keys())
	}
	if got := fail(2, 5); got.Client.Score != 3*score.Point {
		t.Errorf("the neighbour has %d", got.Client.Score)
	}
	if err := s.ForgetClient(context.Background(), guess(store.Look, 1, 0, r).Client); err != nil {
		t.Fatal(err)
	}
	// The lodger's score has decayed to nothing after twelve half-lives, the
	// neighbour's key is still there.
	c.advance(11*time.Hour + 50*time.Minute)
	fail(2, 6)
	c.advance(time.Hour)
	fail(3, 1)
	if got := fail(1, 9); got.Client.Score != score.Point || got.Client.Distinct != 1 {
		t.Errorf("the former lodger has %+v", got.Client)
	}
	if got := fail(3, 2); got.Client.Score != 2*score.Point {
		t.Errorf("the new lodger has %d", got.Client.Score)
	}
}

// TestManyFamiliarNetworks gives an account more networks than its list holds:
// those longest unused are strangers again, for the network as for the account.
func TestManyFamiliarNetworks(t *testing.T) {
	backends(t, func(t *testing.T, cfg Config) {
		c := newTestClock()
		s := openStore(t, cfg, Options{Now: c.now})
		r := storetest.Rules()
		const networks = 70
		login := func(v store.Verb, n int) store.Standing {
			op := guess(v, n, 1, r)
			op.Account, op.Outcome = "alice@example.org", score.Success
			return doOne(t, s, op)
		}
		for n := range networks {
			login(store.Record, n)
			c.advance(time.Second)
		}
		var familiar []int
		for n := range networks {
			if got := login(store.Look, n); got.Familiar {
				familiar = append(familiar, n)
			} else if got.FamiliarAccounts != 0 {
				t.Errorf("network %d has %d familiar accounts", n, got.FamiliarAccounts)
			}
		}
		if len(familiar) != 64 || familiar[0] != networks-64 {
			t.Errorf("familiar are %v", familiar)
		}
		if n, err := s.ForgetAccount(context.Background(), "alice@example.org"); err != nil || n != 64 {
			t.Errorf("forgot %d: %v", n, err)
		}
		if slices.ContainsFunc(familiar, func(n int) bool { return login(store.Look, n).Familiar }) {
			t.Error("some are familiar still")
		}
	})
}

// TestCopiesAreRepaired loses one of the two places where a familiar pair is
// noted, as a failover may.
func TestCopiesAreRepaired(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	c := newTestClock()
	s := openStore(t, testConfig(srv.addr), Options{Now: c.now})
	r := storetest.Rules()
	login := guess(store.Record, 1, 1, r)
	login.Outcome = score.Success
	doOne(t, s, login)
	a := s.newAttempt(&login, s.nowMillis())
	a.slot = a.marks.Network

	// The network forgot: the account's copy alone makes no friend.
	srv.do("DEL", a.networkKeys()[3])
	got := doOne(t, s, guess(store.Reserve, 1, 2, r))
	if got.Familiar || got.Account.InFlight != score.Point || got.Client.InFlight != score.Point {
		t.Errorf("after the network forgot: %+v", got)
	}
	doOne(t, s, guess(store.Record, 1, 2, r))
	doOne(t, s, login)

	// The account forgot: it gives back the place that no friend needs, and hears
	// of the pair at the next login.
	srv.do("DEL", a.accountKeys()[2])
	got = doOne(t, s, guess(store.Reserve, 1, 3, r))
	if !got.Familiar || got.Account.InFlight != 0 || got.Pair.InFlight != score.Point {
		t.Errorf("after the account forgot: %+v", got)
	}
	doOne(t, s, login)
	if n := srv.do("ZCARD", a.accountKeys()[2]).(int64); n != 1 {
		t.Errorf("the account knows %d networks", n)
	}
}

// TestRoundTrips counts how often the server is asked.
func TestRoundTrips(t *testing.T) {
	srv := startServer(t, "--appendonly", "no")
	s := openStore(t, testConfig(srv.addr), Options{})
	r := storetest.Rules()
	login := guess(store.Record, 1, 1, r)
	login.Outcome = score.Success
	doOne(t, s, login)
	before := testutil.ToFloat64(s.meters.amended)
	for n := range 20 {
		// Strangers fail, and a friend logs in.
		for _, op := range []store.Op{guess(store.Reserve, n+10, 5, r), guess(store.Record, n+10, 5, r), login} {
			doOne(t, s, op)
		}
		login.Verb = store.Reserve
		if got := doOne(t, s, login); got.Full || got.Known != 1 || !got.Familiar || got.Pair.InFlight != 0 {
			t.Fatalf("a friend: %+v", got)
		}
		login.Verb = store.Record
	}
	if n := testutil.ToFloat64(s.meters.amended) - before; n != 0 {
		t.Errorf("%v operations took a round trip more", n)
	}
}
