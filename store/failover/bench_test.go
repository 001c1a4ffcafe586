package failover_test

import (
	"context"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
	"github.com/saslguard/saslguard/store/memory"
)

// What failover adds to a call: beside it stand the two stores alone.
func BenchmarkLook(b *testing.B) {
	open := func() *memory.Store {
		s, err := memory.Open(memory.Config{Subjects: 100_000, Bans: 1000, Familiar: 1000}, memory.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	w := &world{}
	ops := []store.Op{w.op(store.Look, score.Unknown, client(1), 1)}
	out := make([]store.Standing, 1)
	for _, m := range []mood{well, failing} {
		r := &remote{inner: open(), now: time.Now}
		r.be(m)
		s, err := failover.New(open(), r, failover.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for ok := m == failing; !ok; ok, _ = s.Health() {
		}
		for name, scores := range map[string]store.Scores{"memory": r.inner, "failover": s} {
			b.Run(map[mood]string{well: "closed/", failing: "open/"}[m]+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := scores.Do(context.Background(), ops, out); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		_ = s.Close(context.Background())
		_ = r.inner.Close(context.Background())
	}
}
