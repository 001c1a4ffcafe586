package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/firewall/exec"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
	"github.com/saslguard/saslguard/store"
)

const (
	// reportPause is the shortest time between two reports of what is enforced, and
	// reportEvery the longest.
	reportPause = 100 * time.Millisecond
	reportEvery = 5 * time.Second
	// socketRetry is how often the agent's socket is tried again that is another
	// agent's.
	socketRetry = 2 * time.Second
)

// hostFirewall is the firewall agent with its socket, as serve runs it, and as
// `saslguard firewall` does.
type hostFirewall struct {
	agent  *firewall.Agent
	server *firewall.Server
	path   string // of the socket; "": none
	owner  string
	report func(context.Context, store.AgentState)
	log    *zap.Logger

	settings chan firewall.Settings // the latest, for the agent

	mu      sync.Mutex
	problem string // why the agent does not run, "" if it does
}

// newHostFirewall makes the agent that a configuration wants. Its socket shows the
// metrics of shown, if that is not nil.
func newHostFirewall(c *configs.Config, source firewall.Source, log *zap.Logger, metrics prometheus.Registerer, shown prometheus.Gatherer) (*hostFirewall, error) {
	settings, err := firewallSettings(c)
	if err != nil {
		return nil, err
	}
	backend, sessions, err := firewallBackend(c.Firewall, log)
	if err != nil {
		return nil, err
	}
	agent, err := firewall.New(firewall.Options{
		Settings: settings, Source: source, Backend: backend, Sessions: sessions, Own: ownAddresses, Logger: log, Metric: metrics,
	})
	if err != nil {
		return nil, err
	}
	return &hostFirewall{agent: agent, server: firewall.NewServer(agent, log, shown), owner: c.Firewall.SocketOwner, log: log, settings: make(chan firewall.Settings, 1)}, nil
}

// firewallSettings are what a reload can change.
func firewallSettings(c *configs.Config) (firewall.Settings, error) {
	rules, err := guard.NewRules(c.Rules, c.Enforcing())
	if err != nil {
		return firewall.Settings{}, err
	}
	return firewall.Settings{Config: c.Firewall, Allow: rules.AllowedClients(), Enforce: c.Enforcing()}, nil
}

func firewallBackend(c firewall.Config, log *zap.Logger) (firewall.Backend, firewall.Sessions, error) {
	switch c.Backend {
	case firewall.NFTables:
		return kernelBackend(c)
	case firewall.Exec:
		return exec.New(c.Exec, log), kernelSessions(), nil
	case firewall.DryRun:
		return firewall.NewDryRun(log), nil, nil
	}
	return nil, nil, fmt.Errorf("firewall.backend: %q is not known", c.Backend)
}

// socketPath is where the agent's socket belongs; without a place for one the
// agent runs, and cannot be asked.
func (f *hostFirewall) socketPath(state string) {
	dir, _, err := listen.RuntimeDirectory(state)
	if err != nil {
		f.log.Warn("no socket for the firewall agent: its status cannot be asked", zap.Error(err))
		return
	}
	f.path = filepath.Join(dir, firewall.Socket)
}

// run runs the agent until ctx ends. While another agent has the socket, it waits:
// two would undo each other's work.
func (f *hostFirewall) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for f.path != "" {
		ls, err := listen.Open(listen.Config{Listen: []string{"unix:" + f.path}, SocketMode: "0660", SocketOwner: f.owner}, nil)
		if err == nil {
			f.log.Info("the firewall agent listens (saslguard firewall status)", zap.Strings("addresses", addresses(ls)))
			running.Go(func() {
				if err := f.server.Serve(ls[0]); err != nil {
					f.log.Error("the firewall agent can no longer be asked", zap.Error(err))
				}
			})
			defer f.shutdown()
			break
		}
		if !errors.Is(err, listen.ErrAnswered) {
			f.log.Warn("the firewall agent runs, and cannot be asked", zap.Error(err))
			break
		}
		if f.fail("another firewall agent runs on this host, and keeps the bans") {
			f.log.Warn("another firewall agent runs on this host; this one waits for its end", zap.String("socket", f.path))
		}
		select {
		case <-time.After(socketRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.fail("")
	running.Go(func() { f.reports(ctx) })
	running.Go(func() { f.reloads(ctx) })
	return f.agent.Run(ctx)
}

func (f *hostFirewall) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		f.log.Debug("a question to the firewall agent was cut off", zap.Error(err))
	}
}

// fail keeps why the agent does not run, and tells whether that is new.
func (f *hostFirewall) fail(problem string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.problem != problem
	f.problem = problem
	return changed
}

// waits says why the agent does not run, "" if it does.
func (f *hostFirewall) waits() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

// reports tells what is enforced, soon after it has changed and now and then
// otherwise, until ctx ends.
func (f *hostFirewall) reports(ctx context.Context) {
	if f.report == nil {
		return
	}
	tick := time.NewTicker(reportPause)
	defer tick.Stop()
	var last store.AgentState
	var at time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := f.agent.State()
		now.At = time.Time{}
		if now != last || time.Since(at) >= reportEvery {
			f.report(ctx, now)
			last, at = now, time.Now()
		}
	}
}

// health is the part of the daemon's health.
func (f *hostFirewall) health() admin.Part {
	problem := f.waits()
	s := f.agent.State()
	p := admin.Part{Name: "firewall", State: admin.OK, Detail: fmt.Sprintf("%s, %s, %d bans", s.Backend, s.State, s.Bans)}
	switch {
	case problem != "":
		p.State, p.Detail = admin.Degraded, problem
	case s.State == firewall.Failing:
		p.State, p.Detail = admin.Degraded, s.Error
	case s.State == firewall.Paused:
		p.State = admin.Degraded
	}
	return p
}

// makeFirewall makes the agent, if serve is to run one.
func (d *Daemon) makeFirewall() (err error) {
	if !d.config.Firewall.Enabled {
		return nil
	}
	if d.firewall, err = newHostFirewall(d.config, d.store, d.log.Named("firewall"), d.metrics, nil); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	state := ""
	if d.state != "" {
		state = filepath.Dir(d.state)
	}
	d.firewall.socketPath(state)
	d.firewall.report = d.reportFirewall
	return nil
}

// reportFirewall makes known what this host's firewall enforces.
func (d *Daemon) reportFirewall(ctx context.Context, s store.AgentState) {
	d.agent.note(s)
	if d.redis == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Redis.Timeouts.Call)
	defer cancel()
	if err := d.redis.ReportAgent(ctx, d.host(), s); err != nil {
		d.log.Debug("the other hosts were not told what the firewall enforces; the next heartbeat does", zap.Error(err))
	}
}

// startFirewall runs the agent beside the parts that mail waits for: it can fail
// and be tried again, and stops nothing. The function that it returns ends it.
func (d *Daemon) startFirewall() (stop func()) {
	if d.firewall == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := d.firewall.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			d.log.Error("the firewall agent did not end well", zap.Error(err))
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// reloadFirewall has the agent take over what has changed.
func (d *Daemon) reloadFirewall(c *configs.Config) error {
	if d.firewall == nil {
		return nil
	}
	return d.firewall.reload(c)
}

// reload has the agent take over what has changed, as soon as it has the time: a
// backend that is slow holds up no reload.
func (f *hostFirewall) reload(c *configs.Config) error {
	settings, err := firewallSettings(c)
	if err != nil {
		return err
	}
	select {
	case <-f.settings: // an older one that it has not come to
	default:
	}
	f.settings <- settings
	return nil
}

// reloads hands settings on until ctx ends.
func (f *hostFirewall) reloads(ctx context.Context) {
	for {
		select {
		case s := <-f.settings:
			if err := f.agent.Reload(ctx, s); err != nil && ctx.Err() == nil {
				f.log.Error("the firewall agent did not take over the configuration", zap.Error(err))
			}
		case <-ctx.Done():
			return
		}
	}
}
