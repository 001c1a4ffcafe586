package eventlog

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// Banned clients that go on asking: what each costs the log the first time in a
// minute, and each time after it.
func BenchmarkBannedClients(b *testing.B) {
	const clients = 10_000
	ban := &store.Entry{By: "mx1", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Reason: "24.3 of 20.0 points", Until: time.Now().Add(time.Hour)}
	events := make([]guard.Event, clients)
	for i := range events {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		events[i] = guard.Event{
			Kind: guard.Asked, At: time.Now(), Host: "mx1", Face: guard.Postfix, Service: "smtp", Addr: a, Client: netip.PrefixFrom(a, 32),
			Network: netip.PrefixFrom(a, 24).Masked(), Account: "somebody@example.org", Count: 1,
			Verdict: guard.Verdict{Action: guard.Refuse, Would: guard.Refuse, Rule: guard.RuleBan, Entry: ban},
		}
	}
	l, err := New(Config{Keep: time.Hour, Max: 50_000}, Options{Logger: zap.NewNop(), Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i%clients == 0 {
				l.turn(true)
			}
			l.Observe(events[i%clients])
		}
	})
	b.Run("second", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i%(2*clients) == 0 {
				l.turn(true)
			}
			l.Observe(events[i%clients])
		}
	})
	b.Run("again", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			l.Observe(events[i%clients])
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	batch := []Event{}
	for range 1 {
		e := attempt(time.Now().UTC().Truncate(time.Millisecond), "192.0.2.1", "somebody@example.org", "failure")
		e.Reason, e.Via, e.Service, e.Action, e.Rule = "banned by mx1 as 192.0.2.0/24 until 2026-11-26T08:00:00Z: 24.3 of 20.0 points", "postfix", "smtp", "refuse", "ban"
		batch = append(batch, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		encode(batch)
	}
}
