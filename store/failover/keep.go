package failover

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// probeTime bounds a probe, which may have to connect first.
const probeTime = time.Second

// keep probes while the breaker is open, and hands over what waits.
func (s *Store) keep(ctx context.Context) {
	k := keeper{Store: s, batch: replayBatch}
	measure, settle := time.NewTicker(measureEvery), time.NewTicker(settledAfter/4)
	defer measure.Stop()
	defer settle.Stop()
	for ctx.Err() == nil {
		if !s.breaker.isUp() {
			for pause := s.breaker.firstPause(); sleep(ctx, pause) && !k.rejoin(ctx); {
				pause = s.options.ProbeEvery
			}
			continue
		}
		if s.owing() {
			_, err := k.handOver(ctx)
			if err != nil && s.breaker.failed(err, hopeless(err)) {
				s.opened(err)
			}
			if err != nil && !sleep(ctx, s.options.ProbeEvery) {
				return
			}
			continue
		}
		select {
		case <-s.kicked:
		case <-measure.C:
			_ = s.ask(ctx, s.probe)
		case <-settle.C:
			k.settled()
		case <-ctx.Done():
		}
	}
}

// sleep waits, and returns false if ctx ends meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// owing tells whether the remote store has not been told of something.
func (s *Store) owing() bool { return s.journal.len() > 0 || len(s.local.Pending(1)) > 0 }

// rejoin closes the breaker if the remote store answers and has been told of
// everything.
func (k *keeper) rejoin(ctx context.Context) bool {
	err := k.ready(ctx)
	if err == nil {
		var n handed
		n, err = k.handOver(ctx)
		k.sum.attempts += n.attempts
		k.sum.entries += n.entries
	} else {
		k.stuckSince = time.Time{} // it is not the journal that is at fault
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		if k.breaker.unreached(err) {
			k.opened(err)
		}
		return false
	}
	_, _, before := k.breaker.state()
	k.breaker.close()
	if k.breaker.flapping() {
		return true // told when it has settled
	}
	k.told(before == nil)
	return true
}

// told says that the remote store is in use.
func (k *keeper) told(first bool) {
	counts := []zap.Field{zap.Int("attempts", k.sum.attempts), zap.Int("bans_and_unbans", k.sum.entries)}
	k.sum = handed{}
	if first {
		k.log.Info("Redis answers; scores and bans are shared with the other hosts", counts...)
	} else {
		k.log.Info("Redis is back; what happened meanwhile was handed over", counts...)
	}
}

// settled says that a remote store which came and went is there to stay.
func (k *keeper) settled() {
	if k.breaker.settle() {
		k.told(false)
	}
}

// ready tells whether the remote store answers, and fast enough.
func (s *Store) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	for range 2 { // the first may have had to connect
		began := time.Now()
		if err := s.probe(ctx); err != nil {
			return err
		}
		if time.Since(began) < s.slow() {
			return nil
		}
	}
	return errSlow
}
