package redis

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	// sweepEvery is how often a host looks for entries whose time is over. All
	// hosts do, and whoever comes first announces it.
	sweepEvery = 2 * time.Second
	// sweepBatch is how many entries one run of the script ends.
	sweepBatch = 500
)

// sweepLoop sweeps until the ledger ends.
func (l *ledger) sweepLoop() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.sweep(context.Background())
		case <-l.done:
			return
		}
	}
}

// sweep ends what is over. What cannot be swept now is over nevertheless for
// everybody who looks at its time, and swept later.
func (l *ledger) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	for more := 1; more == 1 && !l.ended(); {
		var err error
		if more, err = l.run(ctx, "sweep", l.cfg.StreamLength, sweepBatch).Int(); err != nil {
			l.log.Debug("entries of the ledger that are over could not be removed yet", zap.Error(err))
			return
		}
	}
}
