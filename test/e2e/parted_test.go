package e2e

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/test/lab"
)

func partedRules() *score.Rules {
	high := score.Tiers{Refuse: 1000 * score.Point, Ban: 1000 * score.Point}
	return &score.Rules{HalfLife: time.Hour.Milliseconds(), Failure: score.Point, Client: high, Network: high, Account: high, Pair: high, PlaceLife: 10_000}
}

// banOf is a ban of an hour and then longer, of the n-th client.
func banOf(n int) store.Entry {
	return store.Entry{
		Kind: store.AutomaticBan, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), 32), Reason: "guessing",
		Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 60 * 24 * time.Hour},
	}
}

// Two hosts are parted for a while and say different things meanwhile. When they
// are together again, what was said last holds on both.
func TestPartedHostsAgreeAgain(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	a, b := startMember(t, server, "a", 0), startMember(t, server, "b", 0)
	lifted, again, first := banOf(1), banOf(2), banOf(3)
	mine := store.Entry{Kind: store.OperatorBan, Account: alice, Reason: "for good"}
	theirs := store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Reason: "for good"}
	for _, e := range []store.Entry{lifted, again, mine, theirs} {
		a.put(e)
		b.has("what was put on the other host", e, true)
	}
	a.cutOff()

	a.lift(lifted)
	a.lift(again) // and after that the other host bans it anew
	short, other := mine, theirs
	short.Reason, short.Until = "for an hour", time.Now().Add(time.Hour)
	a.put(short)
	other.Reason, other.Until = "for an hour", time.Now().Add(time.Hour)
	a.put(other)
	ended := first
	ended.Until = time.Now().Add(300 * time.Millisecond)
	a.put(ended)
	a.has("a ban to end", ended, false)
	time.Sleep(10 * time.Millisecond) // so that what follows is later
	b.lift(again)
	b.put(again)
	theirs.Reason = "for good, again"
	b.put(theirs)

	a.join()
	a.shares(true)
	for _, m := range []*member{a, b} {
		m.has("the ban that was lifted, not", lifted, false)
		m.eventually("the ban made since", func() bool { e := m.entry(again); return e != nil && e.By == "b" })
		m.eventually("the shorter entry", func() bool { e := m.entry(mine); return e != nil && e.Reason == "for an hour" })
		m.eventually("the other's later entry", func() bool { e := m.entry(theirs); return e != nil && e.Reason == "for good, again" })
	}
	if got := b.put(first); got.Times != 2 {
		t.Errorf("after a ban that began and ended meanwhile the next one is the %d.", got.Times)
	}
}

// Two hosts ban and lift the same clients at the same time. Both end up with what
// Redis has, without reading it anew.
func TestHostsThatRaceAgree(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	hosts := []*member{startMember(t, server, "a", 0), startMember(t, server, "b", 0)}
	const clients, rounds = 4, 200
	var all sync.WaitGroup
	for i, m := range hosts {
		for worker := range 2 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), uint64(worker)))
				for range rounds {
					if e := banOf(random.IntN(clients)); random.IntN(2) == 0 {
						m.put(e)
					} else {
						m.lift(e)
					}
				}
			})
		}
	}
	all.Wait()
	redis := shared(t, server.Addr)
	for n := range clients {
		want := entryIn(redis, banOf(n), time.Now())
		for _, m := range hosts {
			m.eventually("what Redis has", func() bool {
				got := m.entry(banOf(n))
				return (got == nil) == (want == nil) && (got == nil || got.Since.Equal(want.Since))
			})
		}
	}
}

// A ban is lifted while a host is down that knows it, and then Redis loses
// everything. The ban does not come back with the host.
func TestALiftedBanDoesNotComeBack(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{AppendOnly: true})
	a, b := startMember(t, server, "a", 0), startMember(t, server, "b", 0)
	lifted, kept := a.put(banOf(1)), a.put(banOf(2))
	b.has("the ban of the other host", kept, true)
	b.close()
	a.lift(lifted)
	if err := server.RestartEmpty(); err != nil {
		t.Fatal(err)
	}
	a.join() // the users are lost as well
	b.join()
	a.shares(true)
	b.open()
	b.shares(true)
	redis := shared(t, server.Addr)
	b.eventually("the other ban in Redis", func() bool { return entryIn(redis, kept, time.Now()) != nil })
	time.Sleep(200 * time.Millisecond) // for what should not come
	for name, l := range map[string]store.Ledger{"a": a, "b": b, "Redis": redis} {
		if entryIn(l, lifted, time.Now()) != nil {
			t.Errorf("%s has the lifted ban again", name)
		}
		if entryIn(l, kept, time.Now()) == nil {
			t.Errorf("%s has lost the other ban", name)
		}
	}
}

// Redis comes back as it was some time ago, and a host that noticed nothing
// changes it again. What was banned and lifted since then is told it by those that
// know it, though they were restarted meanwhile.
func TestRedisComesBackOlder(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{AppendOnly: true})
	a, b, c := startMember(t, server, "a", 0), startMember(t, server, "b", 0), startMember(t, server, "c", 0)
	before, lifted := a.put(banOf(1)), a.put(banOf(2))
	b.has("the bans", lifted, true)
	c.has("the bans", lifted, true)
	c.close()
	restore, err := server.Backup()
	if err != nil {
		t.Fatal(err)
	}
	since := a.put(banOf(3))
	a.lift(lifted)
	a.close()
	last := b.put(banOf(4)) // which only b knows
	b.close()
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	all := []*member{c, b, a}
	var another store.Entry
	for i, m := range all {
		m.join() // the users are lost
		m.open()
		m.shares(true)
		if i == 0 {
			another = m.put(banOf(5))
		}
	}
	redis := shared(t, server.Addr)
	told := 0
	for _, m := range all {
		for _, e := range []store.Entry{before, since, last, another} {
			m.has("a ban made before or since", e, true)
			m.eventually("a ban in Redis", func() bool { return entryIn(redis, e, time.Now()) != nil })
		}
		m.has("the lifted ban, not", lifted, false)
		told += m.logs.FilterMessageSnippet("is older than what this host was told").Len()
	}
	if told != 1 {
		t.Errorf("%d hosts say that Redis came back older: the first that sees it should", told)
	}
	if entryIn(redis, lifted, time.Now()) != nil {
		t.Error("Redis has the lifted ban")
	}
	if got := a.entry(since); !got.Until.Equal(since.Until) || got.Times != since.Times {
		t.Errorf("the ban is another one: %+v and %+v", got, since)
	}
}

// Hosts whose clocks are two hours off share bans that end when they should, and
// count attempts as of now; each says once that its clock is wrong.
func TestClocksThatAreWrong(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	ahead, behind := startMember(t, server, "ahead", 2*time.Hour), startMember(t, server, "behind", -2*time.Hour)
	right := startMember(t, server, "right", 0)
	all := []*member{ahead, behind, right}
	began := time.Now()
	short := func(n int) store.Entry {
		e := banOf(10 + n)
		e.Ladder.First = 2 * time.Second
		return e
	}
	for n, from := range all {
		from.put(banOf(n))
		from.put(short(n))
	}
	for n, from := range all {
		for _, m := range all {
			m.has("the ban", banOf(n), true)
			if left := m.entry(banOf(n)).Until.Sub(m.now()); left < 59*time.Minute || left > time.Hour+time.Minute {
				t.Errorf("a ban of %s lasts %v on %s", from.name, left, m.name)
			}
			m.has("the short one", short(n), true)
		}
	}
	for n := range all {
		for _, m := range all {
			m.has("the short one to end", short(n), false)
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("bans of 2 s are over after %v", took)
	}
	// An operator's time is the host's own.
	until := ahead.now().Add(30 * time.Minute)
	e := ahead.put(store.Entry{Kind: store.OperatorBan, Account: alice, Until: until})
	behind.has("an operator's ban", e, true)
	if left := behind.entry(e).Until.Sub(behind.now()); left < 29*time.Minute || left > 31*time.Minute {
		t.Errorf("half an hour on one host is %v on the other", left)
	}
	client := netip.MustParsePrefix("203.0.113.200/32")
	count := func(m *member, id uint64) {
		m.do(store.Op{Verb: store.Record, ID: id, Client: client, Account: alice, Outcome: score.Failure, Count: 1, Secret: score.Sure, Token: uint32(id)})
	}
	for n, m := range all {
		count(m, uint64(1+n))
	}
	if got := right.look(client).Client.Score; got < 2900 || got > 3000 {
		t.Errorf("three failures make %d thousandths of a point", got)
	}
	ahead.cutOff()
	behind.cutOff()
	count(ahead, 4)
	count(behind, 5)
	ahead.join()
	behind.join()
	right.eventually("what was counted meanwhile", func() bool { return right.look(client).Client.Score > 4800 })
	for _, m := range []*member{ahead, behind} {
		m.shares(true)
		_, health := m.Health()
		if told := m.logs.FilterMessageSnippet("clock differs from Redis'").Len(); told != 1 || !strings.Contains(health, "clock is 2h0m0s "+m.name) {
			t.Errorf("told %d times; health: %s", told, health)
		}
	}
	if _, health := right.Health(); strings.Contains(health, "clock") || right.logs.FilterMessageSnippet("clock").Len() != 0 {
		t.Errorf("the right clock: %s", health)
	}
}

// A Redis that is out of memory answers, and cannot be used. That is said once,
// and health says why.
func TestARedisWithoutMemoryIsToldOnce(t *testing.T) {
	server := lab.StartRedis(t, lab.RedisOptions{})
	m := startMember(t, server, "a", 0)
	admin := server.Client(t)
	memory := func(limit string) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	memory("1")
	client := netip.MustParsePrefix("203.0.113.1/32")
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		m.look(client)
		m.do(store.Op{Verb: store.Record, ID: 1, Client: client, Outcome: score.Failure, Count: 1, Secret: score.Sure, Token: 1})
	}
	ok, health := m.Health()
	if ok || !strings.Contains(health, "Redis cannot be used since ") || !strings.Contains(health, "OOM") {
		t.Errorf("health: %v, %s", ok, health)
	}
	memory("0")
	m.shares(true)
	m.eventually("it to say so", func() bool { return m.logs.FilterMessageSnippet("is back").Len() > 0 })
	for text, want := range map[string]int{"cannot be used": 1, "for moments only": 0, "is back": 1} {
		if n := m.logs.FilterMessageSnippet(text).Len(); n != want {
			t.Errorf("%q was said %d times: %v", text, n, m.logs.All())
		}
	}
}
