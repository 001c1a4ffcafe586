// Package daemon makes the parts of `saslguard serve` from a configuration,
// starts them in order and stops them in reverse: sockets, store, guard, faces,
// admin. The sockets come first, so that what Postfix and Dovecot ask while the
// store is being read waits in the sockets' queues instead of being turned away.
//
// When a part dies by itself the daemon stops with its error: Postfix and
// Dovecot go on without saslguard, and whoever supervises it starts it anew.
package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/dovecotpolicy"
	"github.com/saslguard/saslguard/enrich"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/eventlog/archive"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
	"github.com/saslguard/saslguard/maillog/follow"
	"github.com/saslguard/saslguard/notify"
	"github.com/saslguard/saslguard/policy"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/store/redis"
)

// The files in the state directory: the store's, and that of events and changes.
const (
	stateFile  = "saslguard.db"
	eventsFile = "events.db"
)

// Options are what a daemon needs beside its configuration.
type Options struct {
	Version string
	Logger  *zap.Logger
	Level   zap.AtomicLevel // of Logger, changed by Reload
}

// Daemon is a saslguard that serves one host.
type Daemon struct {
	config  *configs.Config
	version string
	log     *zap.Logger
	level   zap.AtomicLevel

	sockets *sockets
	state   string // the store's file, "" for none
	store   store.Store
	local   *memory.Store
	shared  *failover.Store // nil without Redis
	redis   *redis.Store    // nil without Redis
	guard   *guard.Guard
	names   *guard.Names // how logins are written
	postfix *policy.Server
	dovecot *dovecotpolicy.Server
	logs    *follow.Follower
	admin   *admin.Server
	control *admin.Control
	events  *eventlog.Log    // nil: none are kept
	archive *archive.Archive // nil without a state directory
	agent   agentBoard       // the firewall agent of this host
	metrics *prometheus.Registry

	firewall *hostFirewall // nil: serve runs none

	enricher  *enrich.Enricher
	notifier  *notify.Notifier
	observers []func(guard.Event) // told what the guard does
}

// New makes a daemon of a configuration that has been loaded. It opens its
// sockets and its store; an error names what stands in the way, and leaves
// nothing open.
func New(c *configs.Config, o Options) (d *Daemon, err error) {
	d = &Daemon{config: c, version: o.Version, log: o.Logger, level: o.Level, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	if err = d.findState(); err != nil {
		return d, err
	}
	if d.sockets, err = openSockets(c, d.controlSocket()); err != nil {
		return d, err
	}
	if err = d.openStore(); err != nil {
		return d, err
	}
	d.names = guard.NewNames(d.store.Key())
	d.names.Hash(c.HashLogins())
	if d.events, err = eventlog.New(c.Events, eventlog.Options{
		Shared: d.feed("events"), Names: d.names, Logger: o.Logger.Named("events"), Registerer: d.metrics,
	}); err != nil {
		return d, err
	}
	d.observers = append(d.observers, d.events.Observe)
	if err = d.makeNotifier(); err != nil {
		return d, err
	}
	if err = d.makeGuard(); err != nil {
		return d, err
	}
	if err = d.makeFaces(); err != nil {
		return d, err
	}
	if err = d.makeArchive(); err != nil {
		return d, err
	}
	if err = d.makeFollower(); err != nil {
		return d, err
	}
	if err = d.makeFirewall(); err != nil {
		return d, err
	}
	return d, d.measure()
}

// close gives back what New opened.
func (d *Daemon) close() {
	if d.store != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.config.StopTimeout)
		defer cancel()
		if err := d.store.Close(ctx); err != nil {
			d.log.Error("the store was not closed cleanly", zap.Error(err))
		}
	}
	d.sockets.close()
}

// findState finds where state is kept.
func (d *Daemon) findState() error {
	dir, why, err := stateDirectory(d.config.StateDirectory)
	switch {
	case err == nil:
		d.state = filepath.Join(dir, stateFile)
		d.log.Info("state directory", zap.String("directory", dir), zap.String("from", why))
	case d.config.StateDirectory != "" || os.Getenv("STATE_DIRECTORY") != "":
		return err
	default:
		d.log.Warn("nothing is kept on disk: bans, scores and familiar clients end with this process", zap.Error(err))
	}
	return nil
}

// controlSocket is the path of the control socket, "" for none. That there is no
// place for one keeps no mail host unguarded.
func (d *Daemon) controlSocket() string {
	switch d.config.Admin.Control.Socket {
	case "":
	case admin.NoSocket:
		return ""
	default:
		return d.config.Admin.Control.Socket
	}
	state := ""
	if d.state != "" {
		state = filepath.Dir(d.state)
	}
	dir, why, err := listen.RuntimeDirectory(state)
	if err != nil {
		d.log.Warn("no control socket: status, bans and the like cannot be asked; set admin.control.socket", zap.Error(err))
		return ""
	}
	d.log.Info("runtime directory", zap.String("directory", dir), zap.String("from", why))
	return filepath.Join(dir, listen.ControlSocket)
}

func (d *Daemon) makeGuard() error {
	rules, err := guard.NewRules(d.config.Rules, d.config.Enforcing())
	if err != nil {
		return err
	}
	own, err := ownAddresses()
	if err != nil {
		d.log.Warn("the addresses of this host are not known, so they are not spared from bans", zap.Error(err))
	}
	d.guard, err = guard.New(guard.Options{
		Rules: rules, Scores: d.store, Ledger: d.store, Key: d.store.Key(),
		Host: d.host(), Own: own, Names: d.names, Logger: d.log.Named("guard"), Metric: d.metrics,
		Observe: d.observe,
	})
	return err
}

func (d *Daemon) makeFaces() (err error) {
	d.postfix, err = policy.New(d.config.Postfix, d.guard, policy.Options{Logger: d.log.Named("postfix"), Registerer: d.metrics, Names: d.names})
	if err != nil {
		return err
	}
	d.dovecot, err = dovecotpolicy.New(d.config.Dovecot, d.guard, dovecotpolicy.Options{Logger: d.log.Named("dovecot"), Registerer: d.metrics, Names: d.names})
	if err != nil {
		return err
	}
	d.admin = admin.New(admin.Options{Gatherer: d.metrics, Health: d.health, Logger: d.log.Named("admin")})
	o := admin.ControlOptions{
		Host: d.host(), Version: d.version, Guard: d.guard, Store: d.store, Events: d.events, Health: d.health,
		Agent: d.agent.latest, TakeAgent: d.agent.note, Banned: d.notifier.Operator, Audit: d.feed("audit"), Describe: d.enricher.Describe, Known: func(a netip.Addr) string { return d.enricher.Known(a).String() },
		Logger: d.log.Named("control"), AuditLogger: d.log.Named("audit"), Registerer: d.metrics,
	}
	if d.redis != nil {
		o.Cluster = d.redis
	}
	d.control, err = admin.NewControl(d.config.Admin.Control, o)
	return err
}

// makeArchive makes what keeps events and changes over restarts.
func (d *Daemon) makeArchive() (err error) {
	if d.state == "" {
		return nil
	}
	d.archive, err = archive.New(filepath.Join(filepath.Dir(d.state), eventsFile),
		archive.Options{Logger: d.log.Named("events"), Registerer: d.metrics}, d.events.Stream(), d.control.AuditStream())
	return err
}

// makeFollower makes what reads mail logs; without any it has nothing to do.
func (d *Daemon) makeFollower() (err error) {
	dir := ""
	if d.state != "" {
		dir = filepath.Dir(d.state)
	}
	d.logs, err = follow.New(d.config.Maillog, follow.Options{
		Judge: d.guard, Directory: dir, Key: d.store.Key(), Names: d.names, Logger: d.log.Named("maillog"), Registerer: d.metrics,
		Notice: func(n follow.Notice) { d.notifier.Tell(logNews(n, time.Now())) },
	})
	return err
}

// feed is a stream of texts that all hosts share, nil without Redis.
func (d *Daemon) feed(name string) eventlog.Shared {
	if d.redis == nil {
		return nil
	}
	return d.redis.Feed(name)
}

// host is the name of this host in bans.
func (d *Daemon) host() string {
	if d.config.Host != "" {
		return d.config.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// ownAddresses are the addresses of this host's interfaces.
func ownAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own, nil
}

// syncTimeout is how long the start waits for the bans; a store in this process
// knows them at once.
const syncTimeout = 5 * time.Second
