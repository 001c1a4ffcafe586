package guard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// apart hides from the guard that its store could try.
type apart struct{ store.Scores }

// tried is a guard over a memory store, with clock and numbers of its own.
func tried(t *testing.T, c *clock, r *Rules, scores func(*memory.Store) store.Scores) *Guard {
	t.Helper()
	s, err := memory.Open(memory.Config{Subjects: 100_000, Bans: 10_000, Familiar: 10_000}, memory.Options{Now: c.Now, Key: [16]byte{7}})
	if err != nil {
		t.Fatal(err)
	}
	number := uint64(0)
	g, err := New(Options{
		Rules: r, Scores: scores(s), Ledger: s, Key: s.Key(), Host: "test", Now: c.Now, Logger: zap.NewNop(),
		Random: func() uint64 { number++; return number },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	<-g.Synced()
	return g
}

// attemptOf makes up an attempt by one of a few clients on one of a few accounts.
func attemptOf(r *rand.Rand, at time.Time) Attempt {
	outcomes := []score.Outcome{score.Failure, score.Failure, score.Failure, score.UnknownAccount, score.Success, score.Ignored, score.Refused}
	a := Attempt{
		At: at, Face: Log, Service: "imap", Client: netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(2)), byte(r.IntN(4))}),
		Login: fmt.Sprintf("user%d", r.IntN(6)), Outcome: outcomes[r.IntN(len(outcomes))], Count: r.IntN(3),
	}
	if r.IntN(3) == 0 {
		a.Hash, a.Mechanism = fmt.Sprintf("%x", r.IntN(6)), []string{"PLAIN", "", "XOAUTH2"}[r.IntN(3)]
	}
	switch r.IntN(20) {
	case 0:
		a.Client = netip.Addr{}
	case 1:
		a.Login = ""
	case 2:
		a.Client = netip.MustParseAddr("127.0.0.1")
	case 3:
		a.Stale = true
	case 4:
		a.Session = fmt.Sprint(r.IntN(4))
	case 5:
		a.Login = "trap"
	}
	return a
}

// To try is to ask and then to count: the same verdicts, standings and bans come of
// it, whatever the rules and whoever tries what.
func TestTryIsCheckAndApply(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"enforce": func(*Config) {},
		"gentle":  func(c *Config) { c.Client.Ban, c.Network.Refuse, c.Network.Ban = 15, 40, 0 },
		"networks": func(c *Config) {
			c.Network.Tarpit, c.Network.Refuse, c.Network.Ban = 5, 12, 20
			c.Familiar.Office = 0
		},
		"observe": func(c *Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			c.Waiting.Max, c.TrapAccounts = 0, []string{"trap"}
			change(&c)
			rules, err := NewRules(c, name != "observe")
			if err != nil {
				t.Fatal(err)
			}
			now := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
			one := tried(t, now, rules, func(s *memory.Store) store.Scores { return s })
			two := tried(t, now, rules, func(s *memory.Store) store.Scores { return apart{s} })
			r := rand.New(rand.NewPCG(5, 6))
			var got, want Trial
			bans := 0
			for step := range 6000 {
				now.Advance(time.Duration(r.Int64N(int64(90 * time.Second))))
				a := attemptOf(r, now.Now().Add(-time.Duration(r.IntN(3))*time.Second))
				if err := one.Try(t.Context(), &a, &got); err != nil {
					t.Fatal(err)
				}
				if err := two.Try(t.Context(), &a, &want); err != nil {
					t.Fatal(err)
				}
				if !same(&got.Asked, &want.Asked) || !same(&got.Counted, &want.Counted) {
					t.Fatalf("step %d: %+v\ngives %+v\nand   %+v,\nwant  %+v\nand   %+v", step, a, got.Asked, got.Counted, want.Asked, want.Counted)
				}
				if e := got.Counted.Entry; e != nil && got.Asked.Entry == nil {
					bans++
					known(t, one, *e)
					known(t, two, *e)
				}
			}
			if bans == 0 {
				t.Error("nobody was banned")
			}
		})
	}
}

// same tells whether two verdicts say the same.
func same(a, b *Verdict) bool {
	if (a.Entry == nil) != (b.Entry == nil) || a.Entry != nil && !reflect.DeepEqual(*a.Entry, *b.Entry) {
		return false
	}
	x, y := *a, *b
	x.Entry, y.Entry = nil, nil
	return x == y
}

// known waits until a ban is in the guard's table.
func known(t *testing.T, g *Guard, e store.Entry) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Microsecond) {
		if _, found := g.Entry(e); found {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not known as banned", e.Prefix)
		}
	}
}

// BenchmarkTry measures an attempt that is asked about and counted, of one of many
// clients at one of few accounts.
func BenchmarkTry(b *testing.B) {
	for name, scores := range map[string]func(*memory.Store) store.Scores{
		"once":  func(s *memory.Store) store.Scores { return s },
		"apart": func(s *memory.Store) store.Scores { return apart{s} },
	} {
		b.Run(name, func(b *testing.B) {
			c := testConfig()
			c.Client.Ban = 1e6 // nobody is banned: what is measured is the scores
			rules, err := NewRules(c, true)
			if err != nil {
				b.Fatal(err)
			}
			s, err := memory.Open(memory.Config{Subjects: 1_000_000, Bans: 1000, Familiar: 1000}, memory.Options{Key: [16]byte{7}})
			if err != nil {
				b.Fatal(err)
			}
			g, err := New(Options{Rules: rules, Scores: scores(s), Ledger: s, Key: s.Key(), Host: "test", Logger: zap.NewNop()})
			if err != nil {
				b.Fatal(err)
			}
			var t Trial
			n := uint32(0)
			b.ReportAllocs()
			for b.Loop() {
				n = n*1664525 + 1013904223
				a := Attempt{
					Face: Log, Service: "smtp", Login: logins[n>>8%uint32(len(logins))], Outcome: score.Failure,
					Client: netip.AddrFrom4([4]byte{45, byte(n >> 24 & 31), byte(n >> 16), 7}),
				}
				if err := g.Try(context.Background(), &a, &t); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

var logins = []string{"info@example.org", "admin@example.org", "test@example.org", "sales@example.org"}
