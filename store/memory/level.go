package memory

import (
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Level brings the subjects of an operation to what the shared store knew of them after
// it, so that this host can go on from there when that store is late or away. before is
// what Do returned here for the same operation. lower says that the shared store lacks
// nothing of what this host has counted. Who is familiar, and which passwords were
// right, stays what this host has seen.
func (s *Store) Level(op *store.Op, before, known *store.Standing, lower bool) {
	if s.closed.Load() || op.Rules == nil {
		return
	}
	a := attempt{op: op, marks: s.hasher.Marks(op), now: s.nowMillis()}
	a.wall = a.now
	a.event.At = a.now
	a.client = op.Client.IsValid()
	a.network = a.client && op.Network.IsValid()
	a.account = op.Account != ""
	do := func(k score.Kind, before, known *score.Reading) {
		if !a.names(k) {
			return
		}
		var v visit
		a.visit(&v, level, k)
		v.before, v.known, v.lower = before, known, lower
		s.shards[shardOf(v.key)].do(&v)
	}
	do(score.Client, &before.Client, &known.Client)
	do(score.Network, &before.Network, &known.Network)
	if !op.AccountExempt {
		do(score.Account, &before.Account, &known.Account)
	}
	if before.Familiar && known.Familiar {
		do(score.Pair, &before.Pair, &known.Pair)
	}
}
