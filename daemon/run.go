package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store/redis"
)

// Run serves until ctx ends or a part dies, whose error it returns. Then it
// stops: it answers what is in flight, counts what was reported, writes the
// store; all of it within the configured stop_timeout.
func (d *Daemon) Run(ctx context.Context) error {
	parts, dead := errgroup.WithContext(context.Background())
	guardCtx, stopGuard := context.WithCancel(context.Background())
	guardDone := make(chan error, 1)
	var beating sync.WaitGroup
	beating.Go(func() { d.beat(guardCtx) })
	beating.Go(func() { d.notifier.Run(guardCtx) })
	beating.Go(func() { d.enricher.Run(guardCtx) })
	beating.Go(func() { d.watchStores(guardCtx) })
	// They end only with their context.
	beating.Go(func() { _ = d.events.Run(guardCtx) })
	beating.Go(func() { _ = d.control.Run(guardCtx) })
	defer beating.Wait() // they end with guardCtx; Redis and receivers may take their timeouts
	defer stopGuard()
	go func() { guardDone <- d.guard.Run(guardCtx) }()
	stopArchive := func(context.Context) error { return nil }
	if d.archive != nil {
		stopArchive = start(d.archive.Run)
	}

	select {
	case <-d.guard.Synced():
	case <-time.After(syncTimeout):
		d.log.Warn("the bans are not known yet; serving without them until they are")
	case <-ctx.Done():
	}
	stopFirewall := d.startFirewall()
	parts.Go(func() error { return d.postfix.Serve(dead, d.sockets.postfix) })
	parts.Go(func() error { return d.dovecot.Serve(dead, d.sockets.dovecot) })
	stopLogs := start(d.logs.Run)
	for _, l := range d.sockets.admin {
		parts.Go(func() error { return d.admin.Serve(l) })
	}
	for _, l := range d.sockets.control {
		parts.Go(func() error { return d.control.Serve(l) })
	}
	d.greet()
	watchdog := d.notifyReady()

	var err error
	select {
	case <-ctx.Done():
		d.log.Info("stopping", zap.Duration("within", d.config.StopTimeout))
	case <-dead.Done():
		err = context.Cause(dead)
		d.log.Error("a part died; stopping", zap.Error(err))
	case err = <-guardDone:
		guardDone <- err
		d.log.Error("the guard died; stopping", zap.Error(err))
	}
	watchdog()
	d.notify(systemd.SdNotifyStopping)
	stopFirewall() // before the store that it follows
	return errors.Join(err, d.stop(parts, stopLogs, stopGuard, stopArchive, guardDone))
}

// stop ends the parts in reverse order of their start.
func (d *Daemon) stop(parts *errgroup.Group, stopLogs func(context.Context) error, stopGuard func(),
	stopArchive func(context.Context) error, guardDone <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.config.StopTimeout)
	defer cancel()
	var faces errgroup.Group
	faces.Go(func() error { return d.postfix.Shutdown(ctx) })
	faces.Go(func() error { return d.dovecot.Shutdown(ctx) })
	if late := stopLogs(ctx); late != nil {
		d.log.Warn("the places in the mail logs are not those of now; a few lines will be read again", zap.Error(late))
	}
	if late := faces.Wait(); late != nil {
		d.log.Warn("connections were closed that were not answered in time", zap.Error(late))
	}
	stopGuard()
	var err error
	select {
	case <-guardDone:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("reports were not all counted in time"))
	}
	err = errors.Join(err, d.control.Shutdown(ctx), d.admin.Shutdown(ctx))
	if late := stopArchive(ctx); late != nil { // after all who make events
		d.log.Warn("the latest events and changes are not kept over the restart", zap.Error(late))
	}
	err = errors.Join(err, d.store.Close(ctx))
	d.sockets.close()
	if died := parts.Wait(); died != nil && !errors.Is(died, context.DeadlineExceeded) {
		err = errors.Join(err, died)
	}
	if err == nil {
		d.log.Info("stopped")
	}
	return err
}

// start runs a part that ends only when it is told to; stop waits for that as long
// as its ctx lasts.
func start(run func(context.Context) error) (stop func(ctx context.Context) error) {
	running, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(running) }()
	return func(ctx context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// greet says what runs, for whom, and what it does.
func (d *Daemon) greet() {
	kept := d.state
	if kept == "" {
		kept = "nowhere"
	}
	r := d.guard.Rules()
	d.log.Info("saslguard serves", zap.String("version", d.version), zap.String("mode", mode(r)),
		zap.String("store", d.storeName()), zap.String("file", kept), zap.String("host", d.host()))
	d.log.Info("listening for Postfix (check_policy_service)", zap.Strings("addresses", addresses(d.sockets.postfix)))
	d.log.Info("listening for Dovecot (auth_policy_server_url)", zap.Strings("addresses", addresses(d.sockets.dovecot)))
	d.log.Info("listening for the administrator (saslguard status, bans, explain)", zap.Strings("addresses", addresses(d.sockets.control)))
	d.log.Info("metrics and health (/metrics, /healthz)", zap.Strings("addresses", addresses(d.sockets.admin)))
	if !r.Enforce() {
		d.log.Info("observing: nothing is refused or delayed; enforce with mode: enforce or serve --enforce")
	}
}

// storeName says where scores and bans are kept beside the file.
func (d *Daemon) storeName() string {
	if d.shared == nil {
		return "memory"
	}
	return "memory and Redis at " + strings.Join(d.config.Redis.Addresses, ", ")
}

// nudgeEvery is how soon the other hosts hear that this one knows of a change, and
// how often they hear it at most while there are many.
const nudgeEvery = 200 * time.Millisecond

// nudge has the heartbeat speak when this host knows more of the ledger than it
// has said: operators wait for that.
func (d *Daemon) nudge(ctx context.Context) {
	tick := time.NewTicker(nudgeEvery)
	defer tick.Stop()
	said := d.guard.Position()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if at := d.guard.Position(); at != said {
			said = at
			d.redis.Nudge()
		}
	}
}

// beat tells the other hosts that this one is here, until ctx ends.
func (d *Daemon) beat(ctx context.Context) {
	if d.redis == nil {
		return
	}
	var nudging sync.WaitGroup
	defer nudging.Wait()
	nudging.Go(func() { d.nudge(ctx) })
	// It ends only with ctx, and says itself when it cannot reach Redis.
	_ = d.redis.RunHeartbeat(ctx, func() redis.Host {
		return redis.Host{Name: d.host(), Version: d.version, Mode: mode(d.guard.Rules()), Position: d.guard.Position(), Firewall: d.agent.latest()}
	})
}

// Reload takes over what can change while serving: mode, rules, texts,
// credentials, log level. It returns the keys whose change needs a restart.
func (d *Daemon) Reload(c *configs.Config) (restart []string, err error) {
	rules, err := guard.NewRules(c.Rules, c.Enforcing())
	if err != nil {
		return nil, err
	}
	level, err := zapcore.ParseLevel(c.Log.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	// Dovecot's face, the control API and the notifier read files, so they can fail
	// and come first; of those, that one which has changed already has changed for the better.
	if err := d.dovecot.Reload(c.Dovecot); err != nil {
		return nil, err
	}
	if err := d.control.Reload(c.Admin.Control); err != nil {
		return nil, err
	}
	if err := d.notifier.Reload(c.Notify); err != nil {
		return nil, err
	}
	if err := d.postfix.Reload(c.Postfix); err != nil {
		return nil, err
	}
	if err := d.logs.Reload(c.Maillog); err != nil {
		return nil, err
	}
	if err := d.reloadFirewall(c); err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	d.level.SetLevel(level)
	d.enricher.Reload(c.Enrich)
	d.guard.Reload(rules)
	d.names.Hash(c.HashLogins())
	return needRestart(d.config, c), nil
}

// needRestart names the keys that differ and are used only at the start.
func needRestart(before, after *configs.Config) (keys []string) {
	for _, k := range []struct {
		key    string
		differ bool
	}{
		{"state_directory", before.StateDirectory != after.StateDirectory},
		{"host", before.Host != after.Host},
		{"stop_timeout", before.StopTimeout != after.StopTimeout},
		{"log.format", before.Log.Format != after.Log.Format},
		{"postfix.listen", !reflect.DeepEqual(before.Postfix.Config, after.Postfix.Config)},
		{"dovecot.listen", !reflect.DeepEqual(before.Dovecot.Config, after.Dovecot.Config)},
		{"dovecot.max_connections", before.Dovecot.MaxConnections != after.Dovecot.MaxConnections},
		{"dovecot.max_body", before.Dovecot.MaxBody != after.Dovecot.MaxBody},
		{"dovecot.idle_timeout", before.Dovecot.IdleTimeout != after.Dovecot.IdleTimeout},
		{"dovecot.read_timeout", before.Dovecot.ReadTimeout != after.Dovecot.ReadTimeout},
		{"store", before.Store != after.Store},
		{"events", before.Events != after.Events},
		{"redis", !reflect.DeepEqual(before.Redis, after.Redis)},
		{"firewall", firewall.NeedRestart(before.Firewall, after.Firewall)},
		{"admin.listen", before.Admin.Listen != after.Admin.Listen},
		{"admin.control", admin.NeedRestart(before.Admin.Control, after.Admin.Control)},
	} {
		if k.differ {
			keys = append(keys, k.key)
		}
	}
	return keys
}
