package redis

import (
	"context"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

const (
	censusEvery = time.Second
	// censusWait bounds one count: nobody waits for it, and it shall not pile up.
	censusWait = 2 * time.Second
)

// census knows whether Redis holds as many keys as it may. A flood of invented
// logins or addresses then finds no more room; those that are known go on. The
// bound is exact to what arrives within a second.
type census struct {
	limit int64 // 0: none
	keys  atomic.Int64
	full  atomic.Bool
}

// countKeys takes the census until ctx ends. A count that fails leaves things as
// they were: whoever uses the store hears of the failure at once.
func (s *Store) countKeys(ctx context.Context) {
	ticker := time.NewTicker(censusEvery)
	defer ticker.Stop()
	for {
		if n, err := s.dbSize(ctx); err == nil {
			s.counted(n)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// counted takes notice of a count. There is room again some way below the
// limit, so that this does not change every second.
func (s *Store) counted(n int64) {
	c := &s.census
	c.keys.Store(n)
	switch {
	case c.limit <= 0:
	case n >= c.limit && c.full.CompareAndSwap(false, true):
		s.log.Warn("Redis holds as many keys as max_keys allows; new clients and accounts are not scored",
			zap.Int64("keys", n), zap.Int64("max_keys", c.limit))
	case n < c.limit-c.limit/50 && c.full.CompareAndSwap(true, false):
		s.log.Info("Redis has room for new clients and accounts again", zap.Int64("keys", n))
	}
}

// dbSize is the number of keys on all masters.
func (s *Store) dbSize(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, censusWait)
	defer cancel()
	cluster, ok := s.client.(*goredis.ClusterClient)
	if !ok {
		return s.client.DBSize(ctx).Result()
	}
	var sum atomic.Int64
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *goredis.Client) error {
		n, err := master.DBSize(ctx).Result()
		sum.Add(n)
		return err
	})
	return sum.Load(), err
}
