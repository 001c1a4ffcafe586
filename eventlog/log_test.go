package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// clock stands still unless it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newLog(t *testing.T, cfg Config) (*Log, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)}
	l, err := New(cfg, Options{Now: c.Now, Logger: zap.NewNop(), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func attempt(at time.Time, client, account, outcome string) Event {
	return Event{At: at, Kind: Attempt, Host: "mx1", Address: client, Client: client + "/32", Account: account, Outcome: outcome, Count: 1, Added: 1}
}

func TestReading(t *testing.T) {
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	began := c.Now()
	for i := range 10 {
		l.Add(attempt(c.Now(), fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("user%d", i%2), "failure"))
		c.advance(time.Second)
	}
	l.Add(Event{At: c.Now(), Kind: Ban, Client: "192.0.2.0/28", Count: 1})
	l.Add(Event{At: c.Now(), Kind: Verdict, Address: "198.51.100.1", Client: "198.51.100.1/32", Action: "pass", Would: "refuse", Count: 1})
	for want, f := range map[int]Filter{
		12: {},
		5:  {Account: "user1"},
		2:  {Within: netip.MustParsePrefix("192.0.2.3/32")}, // the attempt, and the ban around it
		1:  {Kinds: []Kind{Verdict}, Actions: []string{"refuse"}},
		10: {Kinds: []Kind{Attempt}},
		4:  {Since: began.Add(8 * time.Second)},
	} {
		if p := l.Read(t.Context(), f, 100); len(p.Events) != want || p.More || p.Shared || !p.Since.Equal(began) {
			t.Errorf("%+v: %d events, want %d: %+v", f, len(p.Events), want, p)
		}
	}
	p := l.Read(t.Context(), Filter{}, 3)
	if len(p.Events) != 3 || !p.More || p.Events[2].Kind != Verdict || p.Events[0].At.After(p.Events[2].At) {
		t.Errorf("the latest three: %+v", p)
	}
	c.advance(time.Hour - 5*time.Second)
	if p := l.Read(t.Context(), Filter{}, 100); len(p.Events) != 7 || !p.Since.Equal(c.Now().Add(-time.Hour)) {
		t.Errorf("after an hour %d events since %v", len(p.Events), p.Since)
	}
	l.expire()
	if len(l.ring) != 7 {
		t.Errorf("%d events are kept beyond their time", len(l.ring)-7)
	}
}

// A full log forgets the oldest, and says how far back it reaches.
func TestTheLogIsBounded(t *testing.T) {
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	for i := range 2500 {
		l.Add(attempt(c.Now(), fmt.Sprintf("10.0.%d.%d", i/250, i%250), "a", "failure"))
		c.advance(time.Millisecond)
	}
	p := l.Read(t.Context(), Filter{}, 10_000)
	if len(p.Events) != 1000 || len(l.ring) != 1000 || p.Events[0].Address != "10.0.6.0" || p.Events[999].Address != "10.0.9.249" {
		t.Errorf("%d events, from %s to %s", len(p.Events), p.Events[0].Address, p.Events[len(p.Events)-1].Address)
	}
	if want := p.Events[0].At.Add(-time.Millisecond); !p.Since.Equal(want) {
		t.Errorf("it reaches back to %v, want %v", p.Since, want)
	}
	l.expire() // nothing is old
	l.Add(attempt(c.Now(), "10.1.1.1", "a", "failure"))
	if p := l.Read(t.Context(), Filter{}, 1); p.Events[0].Address != "10.1.1.1" {
		t.Errorf("the latest is %+v", p.Events)
	}
}

// One who fails without end does not push everybody else out.
func TestRepeatsAreSummedUp(t *testing.T) {
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	report := func(address, account string, outcome score.Outcome) {
		a := netip.MustParseAddr(address)
		e := guard.Event{Kind: guard.Reported, At: c.Now(), Addr: a, Client: netip.PrefixFrom(a, 32), Account: account, Outcome: outcome, Count: 1}
		e.Verdict.Standing.Client.Added = score.Point
		l.Observe(e)
	}
	report("198.51.100.1", "bob", score.Failure)
	for i := range 5000 {
		report("192.0.2.1", fmt.Sprintf("user%d", i), score.Failure)
	}
	for range 30 {
		report("203.0.113.1", "carol", score.Success)
		report("203.0.113.1", "dave", score.Success)
	}
	if n := testing.AllocsPerRun(100, func() { report("192.0.2.1", "user1", score.Failure) }); n > 0 {
		t.Errorf("%v allocations for one that repeats", n)
	}
	if p := l.Read(t.Context(), Filter{}, 10_000); len(p.Events) != 1+repeatFree+2 {
		t.Errorf("%d events", len(p.Events))
	}
	c.advance(repeatTime)
	p := l.Read(t.Context(), Filter{}, 10_000)
	count, rests := map[string]int{}, 0
	for _, e := range p.Events {
		count[e.Address] += e.Count
		if e.Count > 1 {
			rests++
			if e.Address == "192.0.2.1" && (e.Account != "" || e.Added != 4980+101) {
				t.Errorf("summed up as %+v", e)
			}
		}
	}
	if count["192.0.2.1"] != 5000+101 || count["198.51.100.1"] != 1 || count["203.0.113.1"] != 60 || rests != 3 {
		t.Errorf("%v, %d sums", count, rests)
	}
}

// A net of bots that goes on although it is banned costs the log next to nothing, and
// does not push out what else happens.
func TestBannedClientsAreSummedUp(t *testing.T) {
	const bots, questions = repeatKeys + 5000, 3
	ban := &store.Entry{By: "mx1"}
	l, c := newLog(t, Config{Keep: time.Hour, Max: 100_000})
	ask := func(bot int) {
		a := netip.AddrFrom4([4]byte{10, byte(bot >> 16), byte(bot >> 8), byte(bot)})
		e := guard.Event{Kind: guard.Asked, At: c.Now(), Addr: a, Client: netip.PrefixFrom(a, 32), Account: "bob", Count: 1}
		e.Verdict = guard.Verdict{Action: guard.Refuse, Would: guard.Refuse, Rule: guard.RuleBan, Entry: ban}
		l.Observe(e)
	}
	for range questions {
		for bot := range bots {
			ask(bot)
		}
	}
	for _, bot := range []int{0, bots - 1} {
		if n := testing.AllocsPerRun(100, func() { ask(bot) }); n > 0 {
			t.Errorf("%v allocations for bot %d", n, bot)
		}
	}
	if p := l.Read(t.Context(), Filter{}, 100_000); len(p.Events) != repeatKeys {
		t.Errorf("%d events at once", len(p.Events))
	}
	c.advance(repeatTime)
	p := l.Read(t.Context(), Filter{}, 100_000)
	all, several := 0, 0
	for _, e := range p.Events {
		all += e.Count
		if e.Client == "" {
			several += e.Count
		}
	}
	if all != bots*questions+2*101 || several != (bots-repeatKeys)*questions+101 {
		t.Errorf("%d in all, %d of several", all, several)
	}
}

func TestFollowing(t *testing.T) {
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan Event, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Follow(ctx, Filter{Account: "bob"}, func(e Event) error { got <- e; return nil })
	}()
	waitFollowers(t, l, 1)
	l.Add(attempt(c.Now(), "192.0.2.1", "alice", "failure"))
	l.Add(attempt(c.Now(), "192.0.2.1", "bob", "failure"))
	if e := <-got; e.Account != "bob" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waitFollowers(t, l, 0)
	// One who does not keep up is dropped, and nobody waits for him.
	block := make(chan struct{})
	go func() {
		ended <- l.Follow(t.Context(), Filter{}, func(Event) error { <-block; return nil })
	}()
	waitFollowers(t, l, 1)
	for i := range 2 * followerQueue {
		l.Add(attempt(c.Now(), fmt.Sprintf("10.0.%d.%d", i/250, i%250), "a", "failure"))
	}
	close(block)
	if err := <-ended; !errors.Is(err, errSlow) {
		t.Errorf("a slow follower ends with %v", err)
	}
}

// Each who reads needs memory for all there is, so few do at once, and the others
// are told.
func TestFewReadAtOnce(t *testing.T) {
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	l.Add(attempt(c.Now(), "192.0.2.1", "alice", "failure"))
	for range maxReaders {
		l.reading <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p := l.Read(ctx, Filter{}, 10); len(p.Events) > 0 || !strings.Contains(p.Note, "ask again") {
		t.Errorf("read beside %d others: %+v", maxReaders, p)
	}
	<-l.reading
	for range 3 {
		if p := l.Read(t.Context(), Filter{}, 10); len(p.Events) != 1 || p.Note != "" {
			t.Errorf("read afterwards: %+v", p)
		}
	}
}

func waitFollowers(t *testing.T, l *Log, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		have := len(l.followers)
		l.mu.Unlock()
		if have == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d follow, want %d", have, n)
		}
	}
}

func TestWhatIsKeptOfTheGuard(t *testing.T) {
	at := time.Now()
	base := guard.Event{
		At: at, Host: "mx1", Face: guard.Dovecot, Service: "imap\x1b[31m", Addr: netip.MustParseAddr("192.0.2.1"),
		Client: netip.MustParsePrefix("192.0.2.1/32"), Network: netip.MustParsePrefix("192.0.2.0/24"), Account: "alice\n", Count: 1,
	}
	keep := func(change func(*guard.Event)) (Event, bool) {
		e := base
		change(&e)
		kind, ok := kindOf(&e)
		if !ok {
			return Event{}, false
		}
		return fromGuard(kind, &e, nil), true
	}
	if _, ok := keep(func(e *guard.Event) { e.Kind, e.Outcome = guard.Reported, score.Refused }); ok {
		t.Error("a refusal is told twice")
	}
	e, ok := keep(func(e *guard.Event) { e.Kind, e.Outcome = guard.Reported, score.Failure })
	if !ok || e.Kind != Attempt || e.Outcome != "failure" || e.Account != `alice\n` || strings.Contains(e.Service, "\x1b") || e.Address != "192.0.2.1" {
		t.Errorf("%+v", e)
	}
	entry := &store.Entry{Kind: store.AutomaticBan, Prefix: base.Client, By: "mx1", Rule: "client-score", Times: 2, Until: at.Add(time.Hour)}
	if e, ok := keep(func(e *guard.Event) { e.Kind, e.Entry = guard.Banned, entry }); !ok || e.Kind != Ban || e.Client != "192.0.2.1/32" || e.Times != 2 || e.Until == nil {
		t.Errorf("%+v", e)
	}
	if _, ok := keep(func(e *guard.Event) { e.Kind, e.Entry = guard.Changed, entry }); ok {
		t.Error("a change is told by every host")
	}
}

// A log that is switched off keeps nothing and stands in nobody's way.
func TestNoLog(t *testing.T) {
	l, err := New(Config{Keep: 0, Max: 1000}, Options{Logger: zap.NewNop()})
	if err != nil || l != nil {
		t.Fatalf("%v, %v", l, err)
	}
	l.Observe(guard.Event{})
	l.Add(Event{})
	if p := l.Read(t.Context(), Filter{}, 10); p.Note == "" || len(p.Events) != 0 {
		t.Errorf("%+v", p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := l.Follow(ctx, Filter{}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{0, 1000}, ""}, {Config{time.Minute, 1_000_000}, ""}, {Config{30 * 24 * time.Hour, 50_000}, ""},
		{Config{time.Second, 1000}, "keep"}, {Config{-1, 1000}, "keep"}, {Config{31 * 24 * time.Hour, 1000}, "keep"},
		{Config{0, 999}, "max"}, {Config{0, 1_000_001}, "max"},
	} {
		var got []string
		c.cfg.Check(func(key, text string) {
			if !strings.Contains(text, "allowed is") {
				t.Errorf("%s: %s", key, text)
			}
			got = append(got, key)
		})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, want %q", c.cfg, got, c.want)
		}
	}
}

// FuzzDecode holds that what another host wrote is printable and bounded.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-26T08:00:00Z","kind":"attempt","host":"mx1","address":"192.0.2.1","account":"a","count":1}`))
	f.Add([]byte(`{"at":"2026-11-26T08:00:00Z","kind":"x","reason":"\u001b[31m` + strings.Repeat("é", 300) + `","count":-5}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, ok := decode(&store.Line{ID: "1-0", Text: text})
		if !ok {
			return
		}
		for _, s := range []string{string(e.Kind), e.Host, e.Account, e.Reason, e.Address, e.Rule, e.By} {
			if len(s) > 400 || strings.ContainsFunc(s, odd) {
				t.Errorf("%q", s)
			}
		}
		if e.Count < 1 || len(encode([]Event{e})) != 1 {
			t.Errorf("%+v", e)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
