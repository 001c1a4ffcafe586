package failover

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

const (
	handOverTime = time.Second // for a batch; no login waits for it
	replayBatch  = 256         // operations in a round trip, fewer after a failure
	mergeBatch   = 1000        // entries in a round trip
	stubbornTime = time.Minute // until what alone cannot be handed over is given up
	hopelessTime = 10 * time.Minute
)

// handed is how much was handed over.
type handed struct{ attempts, entries int }

// keeper is what the keeping goroutine knows beside the store.
type keeper struct {
	*Store
	batch      int       // as replayBatch
	sum        handed    // since the breaker opened
	stuckAt    uint64    // the journal's item that could not be handed over
	stuckSince time.Time // zero: none
}

// handOverLast hands over when the store is closed.
func (s *Store) handOverLast(ctx context.Context) (handed, error) {
	return (&keeper{Store: s, batch: replayBatch}).handOver(ctx)
}

// handOver tells the remote store what it does not know: bans and unbans first,
// then the journal. What fails stays, to be sent again.
func (k *keeper) handOver(ctx context.Context) (n handed, err error) {
	if n.entries, err = k.merge(ctx); err != nil {
		return n, err
	}
	if n.entries > 0 {
		// What the stream told of these entries meanwhile was passed over.
		k.watchAgain()
	}
	n.attempts, err = k.replay(ctx)
	return n, err
}

// merge hands over the ledger's pending entries and removals.
func (k *keeper) merge(ctx context.Context) (total int, err error) {
	for {
		events := k.local.Pending(mergeBatch)
		if len(events) == 0 {
			return total, nil
		}
		if err := k.tell(ctx, events); err != nil {
			return total, err
		}
		if err := k.local.HandedOver(ctx, events); err != nil {
			// The file cannot be written. In memory they count as handed over.
			k.mirrored.note(err, k.log)
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return total, err
			}
		}
		total += len(events)
	}
}

// tell tells the remote ledger of events. An entry that it refuses,
// having no room, is given up as Put would give it up.
func (k *keeper) tell(ctx context.Context, events []store.Event) error {
	entries, removed := make([]store.Entry, 0, len(events)), make([]store.Event, 0, len(events))
	for _, e := range events {
		if e.Kind == store.Put {
			entries = append(entries, k.skew.entryThere(e.Entry))
		} else {
			e.At = k.skew.there(e.At)
			removed = append(removed, e)
		}
	}
	if len(removed) > 0 {
		if err := k.within(ctx, func(ctx context.Context) error { return k.remote.RemoveAll(ctx, removed) }); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	err := k.putAll(ctx, entries)
	if !errors.Is(err, store.ErrInvalid) {
		return err
	}
	for i := range entries {
		if err := k.putAll(ctx, entries[i:i+1]); err != nil && !refusal(err) {
			return err
		}
	}
	return nil
}

// putAll puts entries, and says so where some are refused.
func (k *keeper) putAll(ctx context.Context, entries []store.Entry) error {
	err := k.within(ctx, func(ctx context.Context) error { return k.remote.PutAll(ctx, entries) })
	switch {
	case errors.Is(err, store.ErrFull):
		k.log.Error("Redis has no room for bans of this host", zap.Error(err))
		return nil
	case errors.Is(err, store.ErrInvalid) && len(entries) == 1:
		k.log.Error("Redis refuses a ban of this host", zap.Stringer("prefix", entries[0].Prefix),
			zap.String("account", entries[0].Account), zap.Error(err))
	}
	return err
}

// within limits a part of the handing over.
func (k *keeper) within(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	err := f(ctx)
	if err != nil && !refusal(err) {
		k.meters.errors.Inc()
	}
	return err
}

// replay hands over the journal.
func (k *keeper) replay(ctx context.Context) (total int, err error) {
	items := make([]item, replayBatch)
	ops := make([]store.Op, 0, replayBatch)
	for {
		n, first := k.journal.oldest(items)
		if n == 0 {
			return total, nil
		}
		ops = records(ops[:0], items[:n])
		n = max(min(len(ops), k.batch), 1)
		if len(ops) > 0 {
			err = k.send(ctx, ops[:n])
		} else {
			err = k.forgetNow(ctx, &items[0])
		}
		if err != nil {
			// A batch may be too large for a Redis that has much to do.
			k.batch = max(k.batch/2, 1)
			if !k.giveUp(ctx, ops, first, err) {
				return total, err
			}
			n = max(len(ops), 1)
		}
		k.batch = min(2*k.batch, replayBatch)
		k.stuckSince = time.Time{}
		k.journal.done(first + uint64(n))
		total += min(n, len(ops))
	}
}

// records are the Records at the head of the journal.
func records(ops []store.Op, items []item) []store.Op {
	for i := range items {
		if items[i].forget != forgetNothing {
			break
		}
		ops = append(ops, items[i].op)
	}
	return ops
}

func (k *keeper) send(ctx context.Context, ops []store.Op) error {
	out := make([]store.Standing, len(ops))
	ops = k.skew.opsThere(ops)
	return k.within(ctx, func(ctx context.Context) error { return k.remote.Do(ctx, ops, out) })
}

func (k *keeper) forgetNow(ctx context.Context, x *item) error {
	return k.within(ctx, func(ctx context.Context) error {
		if x.forget == forgetClient {
			return k.remote.ForgetClient(ctx, x.op.Client)
		}
		_, err := k.remote.ForgetAccount(ctx, x.op.Account)
		return err
	})
}

// giveUp tells whether Records that could not be sent for long are done with.
// They are sent one by one: where some are taken, the others are at fault and are
// dropped, so that one damaged key does not part this host from Redis for good.
func (k *keeper) giveUp(ctx context.Context, ops []store.Op, first uint64, why error) bool {
	if k.stuckSince.IsZero() || k.stuckAt != first {
		k.stuckAt, k.stuckSince = first, time.Now()
	}
	stuck := time.Since(k.stuckSince)
	if stuck < stubbornTime || timedOut(why) || ctx.Err() != nil {
		return false
	}
	taken, refused := 0, 0
	for i := range ops {
		switch err := k.send(ctx, ops[i:i+1]); {
		case err == nil:
			taken++
		case timedOut(err) || ctx.Err() != nil:
			return false
		default:
			refused++
		}
	}
	if taken == 0 && stuck < hopelessTime {
		return false // rather all is at fault, such as a Redis that is out of memory
	}
	k.meters.dropped.Add(float64(refused))
	k.log.Error("attempts were dropped that Redis does not take", zap.Int("attempts", refused), zap.Error(why))
	return true
}

// timedOut tells whether an error says that an answer did not come in time.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
