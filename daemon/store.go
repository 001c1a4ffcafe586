package daemon

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store/boltfile"
	"github.com/saslguard/saslguard/store/failover"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/store/redis"
)

func (d *Daemon) openStore() error {
	st, err := memory.Open(d.config.Store, memory.Options{
		Path: d.state, Shared: d.config.Redis.Enabled(), Logger: d.log.Named("store"), Registerer: d.metrics,
	})
	if errors.Is(err, boltfile.ErrLocked) {
		return fmt.Errorf("%w; is saslguard running already? Another one needs a state_directory of its own", err)
	}
	if err != nil {
		return err
	}
	d.store, d.local = st, st
	if d.config.Redis.Enabled() {
		return d.joinRedis()
	}
	return nil
}

// joinRedis puts the store that all hosts share in front of this host's own. It
// asks no network: the host joins when Redis answers.
func (d *Daemon) joinRedis() error {
	log := d.log.Named("redis")
	goredis.SetLogger(redisLog{log})
	client, err := redis.Connect(d.config.Redis)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if d.redis, err = redis.New(client, d.config.Redis, redis.Options{Logger: log, Registerer: d.metrics}); err != nil {
		return errors.Join(fmt.Errorf("redis: %w", err), client.Close())
	}
	d.shared, err = failover.New(d.local, d.redis, failover.Options{
		Deadline: d.config.Redis.Timeouts.Call, Logger: log, Registerer: d.metrics,
	})
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.config.StopTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("redis: %w", err), d.redis.Close(ctx))
	}
	d.store = d.shared
	return nil
}

// redisLog takes what the client library says of its connections: at debug,
// because the store says once when Redis goes and when it is back.
type redisLog struct{ log *zap.Logger }

func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	if ce := l.log.Check(zap.DebugLevel, "client"); ce != nil {
		ce.Write(zap.String("said", fmt.Sprintf(format, v...)))
	}
}
