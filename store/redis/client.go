package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// clientName is how CLIENT LIST shows saslguard's connections.
	clientName = "saslguard"

	// reloadEvery is how long a cluster client goes on dialling a master that is
	// gone; go-redis would take a minute.
	reloadEvery = 2 * time.Second

	// blockFor is how long a watcher's read waits for changes before it looks
	// whether the stream is still the one it was reading.
	blockFor = time.Second

	// watchTimeout bounds what a watcher waits for the network. Nobody waits for
	// the watcher, so a slow Redis is better than none.
	watchTimeout = 5 * time.Second
)

// Connect returns a client of the configured Redis, whose operations fail
// rather than wait. It reads the files that the configuration names, and waits
// for no connection: those are made in the background, and when they are needed.
func Connect(cfg Config) (goredis.UniversalClient, error) {
	o, err := clientOptions(cfg)
	if err != nil {
		return nil, err
	}
	return openClient(cfg, o), nil
}

// connectBlocking returns a client for one watcher: a read that blocks holds its
// connection, and closing the client is the one way to end it early.
func connectBlocking(cfg Config) (goredis.UniversalClient, error) {
	o, err := clientOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.PoolSize, o.MinIdleConns = 2, 0
	o.DialTimeout = max(o.DialTimeout, watchTimeout)
	o.PoolTimeout = watchTimeout
	o.ReadTimeout, o.WriteTimeout = watchTimeout, watchTimeout
	return openClient(cfg, o), nil
}

// openClient chooses the kind of client by what was configured, never by the number
// of addresses.
func openClient(cfg Config, o *goredis.UniversalOptions) goredis.UniversalClient {
	switch {
	case cfg.Cluster:
		c := o.Cluster()
		c.ClusterStateReloadInterval = reloadEvery
		return goredis.NewClusterClient(c)
	case cfg.Master != "":
		return goredis.NewFailoverClient(o.Failover())
	default:
		return goredis.NewClient(o.Simple())
	}
}

// clientOptions are set for a caller that gives up after Timeouts.Call. go-redis's
// own would have it wait for seconds on a Redis that is stopped or out of reach,
// and try in vain for minutes.
func clientOptions(cfg Config) (*goredis.UniversalOptions, error) {
	if !cfg.Enabled() {
		return nil, errors.New("no address of Redis is configured")
	}
	password, err := cfg.password()
	if err != nil {
		return nil, err
	}
	encryption, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	return &goredis.UniversalOptions{
		Addrs: cfg.Addresses, MasterName: cfg.Master, DB: cfg.Database,
		Username: cfg.User, Password: password,
		SentinelUsername: cfg.SentinelUser, SentinelPassword: cfg.SentinelPassword,
		TLSConfig: encryption, ClientName: clientName,

		DialTimeout: cfg.Timeouts.Dial, DialerRetries: 1,
		ReadTimeout: cfg.Timeouts.IO, WriteTimeout: cfg.Timeouts.IO,
		// Without this a context's deadline does not reach a read that has begun.
		ContextTimeoutEnabled: true,
		MaxRetries:            1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 5 * time.Millisecond,

		PoolSize: cfg.PoolSize, MinIdleConns: cfg.MinIdle, PoolTimeout: cfg.Timeouts.Pool,
		// No pool apart for pipelines: it would wait for connections of its own.
		PipelinePoolSize: -1,
		// Only Redis Enterprise sends them; asking costs a round trip a connection.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}

// load returns what encrypts connections, or nil for none.
func (t *TLSConfig) load() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities for Redis: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the authorities for Redis: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate for Redis: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Ping tells whether Redis answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("asking Redis whether it is there: %w", err)
	}
	return nil
}
