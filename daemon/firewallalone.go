package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/listen"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/redis"
)

// Firewall is the firewall agent as a program of its own: it learns of bans from
// Redis, or without one from the saslguard that serves on this host, and needs
// nothing else of either. What it cannot reach it waits for; the kernel keeps
// what it has.
type Firewall struct {
	config *configs.Config
	log    *zap.Logger
	level  zap.AtomicLevel
	host   *hostFirewall
	redis  *redis.Store // nil: the control socket is followed
}

// NewFirewall makes the agent of a configuration that has been loaded.
func NewFirewall(c *configs.Config, o Options) (*Firewall, error) {
	f := &Firewall{config: c, log: o.Logger, level: o.Level}
	var source firewall.Source
	var report func(context.Context, store.AgentState) error
	name := (&Daemon{config: c}).host()
	if c.Redis.Enabled() {
		log := o.Logger.Named("redis")
		goredis.SetLogger(redisLog{log})
		connection, err := redis.Connect(c.Redis)
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		if f.redis, err = redis.New(connection, c.Redis, redis.Options{Logger: log}); err != nil {
			return nil, errors.Join(fmt.Errorf("redis: %w", err), connection.Close())
		}
		source = f.redis
		report = func(ctx context.Context, s store.AgentState) error { return f.redis.ReportAgent(ctx, name, s) }
	} else {
		server := &controlSource{socket: c.Admin.Control.Socket, state: c.StateDirectory}
		source, report = server, server.acknowledge
	}
	var err error
	metrics := prometheus.NewRegistry()
	if f.host, err = newHostFirewall(c, source, o.Logger.Named("firewall"), metrics, metrics); err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.host.socketPath(c.StateDirectory)
	f.host.report = func(ctx context.Context, s store.AgentState) {
		timed, cancel := context.WithTimeout(ctx, reportEvery)
		defer cancel()
		if err := report(timed, s); err != nil {
			o.Logger.Debug("nobody was told what the firewall enforces", zap.Error(err))
		}
	}
	return f, nil
}

// Run keeps the firewall until ctx ends.
func (f *Firewall) Run(ctx context.Context) error {
	f.log.Info("the firewall agent runs", zap.String("backend", f.config.Firewall.Backend), zap.String("bans_from", f.from()))
	f.notify(systemd.SdNotifyReady)
	err := f.host.run(ctx)
	f.notify(systemd.SdNotifyStopping)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if f.redis != nil && f.host.waits() == "" { // else it is another agent that the hosts hear
		leaving, cancel := context.WithTimeout(context.Background(), f.config.Redis.Timeouts.Call)
		defer cancel()
		_ = f.redis.RetireAgent(leaving, (&Daemon{config: f.config}).host()) // unheard it is gone a little later
	}
	if err = errors.Join(err, f.close()); err == nil {
		f.log.Info("stopped")
	}
	return err
}

func (f *Firewall) from() string {
	if f.redis != nil {
		return "Redis"
	}
	return "the saslguard of this host"
}

func (f *Firewall) close() error {
	if f.redis == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return f.redis.Close(ctx)
}

// Reload takes over what can change while it runs. It returns the keys whose
// change needs a restart.
func (f *Firewall) Reload(c *configs.Config) (restart []string, err error) {
	level, err := zapcore.ParseLevel(c.Log.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	if err := f.host.reload(c); err != nil {
		return nil, err
	}
	f.level.SetLevel(level)
	return needRestart(f.config, c), nil
}

// Reloading tells systemd that a reload begins; the function it returns, that it
// has ended.
func (f *Firewall) Reloading() func() {
	f.notify(systemd.SdNotifyReloading + "\n" + monotonic())
	return func() { f.notify(systemd.SdNotifyReady) }
}

func (f *Firewall) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		f.log.Warn("systemd cannot be notified", zap.Error(err))
	}
}

// controlSource follows the saslguard of this host by its control socket, which
// is looked for anew each time: it may be started later, and elsewhere.
type controlSource struct {
	socket string // as configured
	state  string
}

func (s *controlSource) client() (*client.Client, error) {
	path := s.socket
	switch path {
	case admin.NoSocket:
		return nil, errors.New("admin.control.socket is none, and there is no Redis: nobody can tell of bans")
	case "":
		var err error
		if path, err = listen.FindControl(s.state); err != nil {
			return nil, err
		}
	}
	return client.New(client.Options{Address: "unix:" + path})
}

// Watch implements firewall.Source.
func (s *controlSource) Watch(ctx context.Context, f func(store.Event) error) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return c.Watch(ctx, f)
}

func (s *controlSource) acknowledge(ctx context.Context, a store.AgentState) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return c.Acknowledge(ctx, a)
}

// FirewallSocket returns the socket of the firewall agent of this host.
func FirewallSocket(c *configs.Config) (string, error) {
	dir, err := filepath.Abs(c.StateDirectory)
	if err != nil || c.StateDirectory == "" {
		dir = ""
	}
	return listen.FindSocket(dir, firewall.Socket, "no firewall agent runs here (saslguard firewall, or serve with firewall.enabled)")
}
