package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/redis"
	"github.com/saslguard/saslguard/test/lab"
)

const hashKey = "0123456789abcdef0123456789abcdef"

// host is saslguard on one host of a cluster, asked on its ports.
type host struct {
	*testing.T
	program
	proc *lab.Process
	http *http.Client
}

// startHost starts a host that enforces and shares the Redis of the section, with
// rules of its own if there are more.
func startHost(t *testing.T, name, section string, more ...string) *host {
	t.Helper()
	h := &host{T: t, program: newProgram(t), http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	rules := "rules: {trap_accounts: [trap@lab.test]}"
	if len(more) > 0 {
		rules = more[0]
	}
	h.write(t, fmt.Sprintf("mode: enforce\nhost: %s\n%s\nredis:\n  hash_key: %s\n%s", name, rules, hashKey, section))
	h.proc = h.start(t)
	t.Cleanup(h.http.CloseIdleConnections)
	return h
}

// at is the section for one server.
func at(addr string) string { return "  addresses: [" + addr + "]\n" }

// joined waits until the host shares what it knows, or has stopped to.
func (h *host) joined(want bool) {
	h.Helper()
	h.eventually(15*time.Second, "the health of Redis", func() bool {
		body, err := h.health()
		return err == nil && strings.Contains(body, `"Redis answers`) == want
	})
}

func (h *host) health() (string, error) {
	res, err := h.http.Get("http://" + h.admin + "/healthz")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b := make([]byte, 4096)
	n, _ := res.Body.Read(b)
	return string(b[:n]), nil
}

func (h *host) eventually(within time.Duration, what string, done func() bool) {
	h.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("%s: not within %s", what, within)
		}
	}
}

func body(client, login string, hash int, more string) string {
	return fmt.Sprintf(`{"device_id":"","login":%q,"mech":"PLAIN","protocol":"imap","pwhash":"0%03x","remote":%q,"session_id":"s%d","tls":false%s}`, login, hash, client, hash, more)
}

// fail reports a wrong password.
func (h *host) fail(client, login string, hash int) {
	h.Helper()
	if _, err := post(h.http, "http://"+h.dovecot+"/?command=report", body(client, login, hash, `,"success":false,"policy_reject":false`)); err != nil {
		h.Fatal(err)
	}
}

// asked is what Dovecot is answered.
func (h *host) asked(client, login string, hash int) string {
	h.Helper()
	answer, err := post(h.http, "http://"+h.dovecot+"/?command=allow", body(client, login, hash, ""))
	if err != nil {
		h.Fatal(err)
	}
	return answer
}

func (h *host) refuses(client string) bool {
	return strings.Contains(h.asked(client, "nobody@lab.test", 1), `"status":-1`)
}

// ban has a client banned.
func (h *host) ban(client string) {
	h.Helper()
	for i := range 25 {
		h.fail(client, "nobody@lab.test", i)
	}
}

// connects tells whether Postfix would be let go on at CONNECT, over a
// connection that is kept.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func (h *host) connection() *connection {
	h.Helper()
	c, err := net.Dial("tcp", h.postfix)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { c.Close() })
	return &connection{c, bufio.NewReader(c)}
}

func (c *connection) refuses(t *testing.T, client string) bool {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=%s\nclient_port=1\npolicy_context=submission\n\n", client); err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(answer(t, c.r), "action=421")
}

// shared opens what the hosts share, as another host would.
func shared(t *testing.T, addr string) *redis.Store {
	t.Helper()
	cfg := sharedConfig(addr)
	client, err := redis.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := redis.New(client, cfg, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func sharedConfig(addr string) redis.Config {
	return redis.Config{
		Addresses: []string{addr}, Prefix: "sg", HashKey: hashKey, PoolSize: 4, MaxKeys: 1_000_000, MaxEntries: 100_000, StreamLength: 100_000,
		Resync: time.Minute, Heartbeat: 5 * time.Second,
		Timeouts: redis.TimeoutsConfig{Dial: time.Second, IO: time.Second, Pool: time.Second, Call: time.Second},
	}
}

func percentiles(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("p50 %v, p99 %v, of %d", all[len(all)/2].Round(10*time.Microsecond), all[len(all)*99/100].Round(10*time.Microsecond), len(all))
}

func TestTwoHostsShareWhatTheyLearn(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	a, b := startHost(t, "a", at(server.Addr)), startHost(t, "b", at(server.Addr))
	a.joined(true)
	b.joined(true)

	const split = "203.0.113.1"
	for i := range 5 {
		a.fail(split, alice, i)
		b.fail(split, alice, 100+i)
	}
	for _, h := range []*host{a, b} {
		h.eventually(5*time.Second, "failures over both hosts to add up", func() bool { return h.refuses(split) })
	}

	ledger, conn := shared(t, server.Addr), b.connection()
	var failed, banned, lifted []time.Duration
	until := func(client string, refused bool) time.Duration {
		t.Helper()
		began := time.Now()
		for conn.refuses(t, client) != refused {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s: refused on host b: not %v within 10s", client, refused)
			}
		}
		return time.Since(began)
	}
	for i := range 100 {
		trapped := fmt.Sprintf("203.0.%d.%d", i/50, 1+i%50)
		a.fail(trapped, "trap@lab.test", 1)
		failed = append(failed, until(trapped, true))

		client := fmt.Sprintf("198.51.%d.%d", i/50, 1+i%50)
		e := store.Entry{Kind: store.AutomaticBan, Prefix: netip.PrefixFrom(netip.MustParseAddr(client), 32), Reason: "measured"}
		if _, err := ledger.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		banned = append(banned, until(client, true))
		if found, err := ledger.Remove(t.Context(), e); err != nil || !found {
			t.Fatalf("lifting the ban of %s: %v %v", client, found, err)
		}
		lifted = append(lifted, until(client, false))
	}
	t.Logf("from the last failure on one host to the refusal on the other: %s", percentiles(failed))
	t.Logf("from a ban to the refusal on another host: %s", percentiles(banned))
	t.Logf("from an unban to being let go on there: %s", percentiles(lifted))
	hosts, err := ledger.Hosts(t.Context())
	if err != nil || len(hosts) != 2 || hosts[0].Mode != "enforce" {
		t.Errorf("hosts: %+v, %v", hosts, err)
	}
}

// 200 reports of one client that reach four processes at once are each counted
// once.
func TestParallelReportsAreCountedOnce(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	const client, processes, each = "203.0.113.1", 4, 50
	hosts := make([]*host, processes)
	for i := range hosts {
		hosts[i] = startHost(t, fmt.Sprint("mx", i), at(server.Addr),
			"rules: {half_life: 168h, points: {failure: 1, unknown_account: 0, further_account: 0}, client: {tarpit: 100, refuse: 500, ban: 1000}, account: {tarpit: 0, refuse: 0}}")
	}
	var wg sync.WaitGroup
	for i, h := range hosts {
		h.joined(true)
		for k := range each {
			wg.Go(func() { h.fail(client, alice, i*each+k) })
		}
	}
	wg.Wait()
	s := shared(t, server.Addr)
	p := netip.MustParsePrefix(client + "/32")
	op := store.Op{Verb: store.Look, Client: p, Network: netip.MustParsePrefix("203.0.113.0/24"), Account: alice, Rules: &score.Rules{
		HalfLife: 168 * time.Hour.Milliseconds(), Failure: score.Point, Client: score.Tiers{Ban: 1000 * score.Point}, PlaceLife: 10_000}}
	out := make([]store.Standing, 1)
	look := func() score.Milli {
		t.Helper()
		if err := s.Do(t.Context(), []store.Op{op}, out); err != nil {
			t.Fatal(err)
		}
		return out[0].Client.Score
	}
	// A point each. Every write rounds down, by a thousandth at most, and in a week
	// half of them decays: less than one report in all.
	least := score.Milli(processes*each*score.Point - processes*each - 100)
	hosts[0].eventually(5*time.Second, "all reports to be counted", func() bool { return look() >= least })
	time.Sleep(200 * time.Millisecond)
	if got := look(); got < least || got > processes*each*score.Point {
		t.Errorf("%d reports of a point made %d thousandths", processes*each, got)
	}
	t.Logf("%d reports over %d processes at once made %d thousandths of a point", processes*each, processes, look())
}

// fault is what befalls Redis, and how it ends.
type fault struct {
	name       string
	begin, end func() error
	away       bool // it cannot be used meanwhile
}

func TestRedisFails(t *testing.T) {
	testFaults(t, func(server *lab.Redis) []fault {
		return []fault{
			{"killed", server.Kill9, server.Restart, true},
			{"stopped by SIGSTOP", server.Freeze, server.Thaw, true},
			{"script cache flushed", func() error { return server.Client(t).ScriptFlush(context.Background()).Err() }, func() error { return nil }, false},
		}
	})
}

func TestRedisLosesWhatItHad(t *testing.T) {
	testFaults(t, func(server *lab.Redis) []fault {
		older, err := server.Backup()
		if err != nil {
			t.Fatal(err)
		}
		maxMemory := func(bytes string) func() error {
			return func() error { return server.Client(t).ConfigSet(context.Background(), "maxmemory", bytes).Err() }
		}
		return []fault{
			{"restarted as it was before", server.Kill9, older, true},
			{"restarted empty", server.Kill9, server.RestartEmpty, true},
			{"out of memory", maxMemory("1"), maxMemory("0"), true},
		}
	})
}

// testFaults has two hosts under load go through faults of their Redis: every
// answer is right and comes in time, no ban is lost, and what is counted and banned
// meanwhile is known to the other host afterwards.
func testFaults(t *testing.T, faults func(server *lab.Redis) []fault) {
	server := lab.StartRedis(t, lab.RedisOptions{AppendOnly: true})
	a, b := startHost(t, "a", at(server.Addr)), startHost(t, "b", at(server.Addr))
	a.joined(true)
	b.joined(true)
	l := startLoad(t, a.postfix, a.dovecot)
	list := faults(server)
	const old = "203.0.113.200"
	a.ban(old)
	b.eventually(5*time.Second, "the ban on the other host", func() bool { return b.refuses(old) })
	time.Sleep(time.Second)
	l.check(t, "Redis well", time.Second)
	for i, fault := range list {
		client, during := fmt.Sprintf("203.0.113.%d", i+1), fmt.Sprintf("203.0.113.%d", 100+i)
		if err := fault.begin(); err != nil {
			t.Fatal(err)
		}
		if fault.away {
			a.joined(false)
		}
		for k := range 6 {
			a.fail(client, "nobody@lab.test", k)
		}
		a.ban(during)
		a.eventually(5*time.Second, "a ban made meanwhile", func() bool { return a.refuses(during) })
		if !a.refuses(old) || !b.refuses(old) {
			t.Errorf("%s: the old ban is lost", fault.name)
		}
		time.Sleep(time.Second)
		l.check(t, fault.name, time.Second)
		if err := fault.end(); err != nil {
			t.Fatal(err)
		}
		a.joined(true)
		b.joined(true)
		b.eventually(10*time.Second, fault.name+": what was counted meanwhile", func() bool {
			return !strings.Contains(b.asked(client, alice, 50), `"status":0`)
		})
		b.eventually(10*time.Second, fault.name+": the ban made meanwhile", func() bool { return b.connection().refuses(t, during) })
		for _, h := range []*host{a, b} {
			if !h.connection().refuses(t, old) {
				t.Errorf("%s: the old ban is lost after recovery", fault.name)
			}
		}
		l.check(t, fault.name+", and back", time.Second)
	}
}

func TestABlackHoleInsteadOfRedis(t *testing.T) {
	hole := lab.StartBlackHole(t, lab.RedisOptions{})
	h := startHost(t, "a", at(hole.Addr))
	h.joined(true)
	l := startLoad(t, h.postfix, h.dovecot)
	time.Sleep(time.Second)
	l.check(t, "Redis well", time.Second)
	if err := hole.Drop(); err != nil {
		t.Fatal(err)
	}
	h.joined(false)
	time.Sleep(2 * time.Second)
	l.check(t, "black hole", time.Second)
	if err := hole.Restore(); err != nil {
		t.Fatal(err)
	}
	h.joined(true)
	time.Sleep(time.Second)
	l.check(t, "and back", time.Second)
}

// A host starts while Redis is away, and joins when it comes.
func TestStartWithoutRedis(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	other := startHost(t, "other", at(server.Addr))
	other.joined(true)
	other.ban("203.0.113.1")
	other.eventually(5*time.Second, "the ban", func() bool { return other.refuses("203.0.113.1") })
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, "late", at(server.Addr))
	h.joined(false)
	if h.refuses("203.0.113.1") {
		t.Error("it knows a ban that nobody told it")
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	h.joined(true)
	h.eventually(10*time.Second, "the ban of the other host", func() bool { return h.refuses("203.0.113.1") })
	stopped(t, h.proc)
}

func TestSentinelFailover(t *testing.T) {
	s := lab.StartSentinel(t)
	h := startHost(t, "a", fmt.Sprintf("  addresses: [%s]\n  master: %s\n", strings.Join(s.Sentinels, ", "), s.Name))
	h.joined(true)
	l := startLoad(t, h.postfix, h.dovecot)
	h.ban("203.0.113.1")
	time.Sleep(time.Second)
	l.check(t, "Sentinel, well", time.Second)
	// The last ban reaches no replica: the one that takes over lacks it.
	freeze := func(f func(*lab.Redis) error) {
		t.Helper()
		for _, replica := range s.Nodes[1:] {
			if err := f(replica); err != nil {
				t.Fatal(err)
			}
		}
	}
	freeze((*lab.Redis).Freeze)
	h.ban("203.0.113.2")
	h.eventually(5*time.Second, "the ban", func() bool { return h.connection().refuses(t, "203.0.113.2") })
	old, err := s.KillMaster()
	if err != nil {
		t.Fatal(err)
	}
	freeze((*lab.Redis).Thaw)
	if _, err := s.WaitFailover(old); err != nil {
		t.Fatal(err)
	}
	h.joined(true)
	time.Sleep(time.Second)
	l.check(t, "Sentinel, master killed", time.Second)
	newcomer := startHost(t, "b", fmt.Sprintf("  addresses: [%s]\n  master: %s\n", strings.Join(s.Sentinels, ", "), s.Name))
	newcomer.joined(true)
	for _, client := range []string{"203.0.113.1", "203.0.113.2"} {
		if !h.connection().refuses(t, client) {
			t.Errorf("the ban of %s is lost", client)
		}
		newcomer.eventually(10*time.Second, "the ban of "+client+" in Redis", func() bool { return newcomer.connection().refuses(t, client) })
	}
	h.fail("203.0.113.9", alice, 1)
	time.Sleep(time.Second)
	l.check(t, "and after", time.Second)
}

func TestClusterFailoverAndResharding(t *testing.T) {
	c := lab.StartCluster(t)
	h := startHost(t, "a", fmt.Sprintf("  addresses: [%s]\n  cluster: true\n", strings.Join(c.Addrs, ", ")))
	h.joined(true)
	l := startLoad(t, h.postfix, h.dovecot)
	h.ban("203.0.113.1")
	time.Sleep(time.Second)
	l.check(t, "Cluster, well", time.Second)
	old, err := c.KillMaster(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(); err != nil {
		t.Fatal(err)
	}
	h.joined(true)
	time.Sleep(time.Second)
	l.check(t, "Cluster, master killed", time.Second)
	if err := old.Restart(); err != nil {
		t.Fatal(err)
	}
	masters, err := c.Masters()
	if err != nil {
		t.Fatal(err)
	}
	slots := make([]int, 50)
	for i := range slots {
		slots[i] = i * 100
	}
	if err := c.MoveSlots(masters[2], slots...); err != nil {
		t.Fatal(err)
	}
	h.joined(true)
	time.Sleep(time.Second)
	l.check(t, "Cluster, slots moved", time.Second)
	if !h.connection().refuses(t, "203.0.113.1") {
		t.Error("the ban is lost")
	}
}
