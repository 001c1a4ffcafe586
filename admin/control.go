package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// ControlOptions are what a Control is made of.
type ControlOptions struct {
	Host    string // this host's name
	Version string
	Guard   *guard.Guard
	Store   store.Store   // scores, bans and the allowlist, all hosts'
	Cluster Cluster       // nil: this host is alone
	Events  *eventlog.Log // nil: none are kept
	Health  func() Health
	// Agent returns what the firewall agent of this host said last, nil if there is
	// none, and TakeAgent takes what it says now.
	Agent     func() *store.AgentState
	TakeAgent func(store.AgentState)
	// Audit is where all hosts write who changed what; nil: only this one's log.
	Audit eventlog.Shared
	// Banned is told of bans that operators make here, unless they are many at once; nil:
	// nobody is. It may not wait.
	Banned func(e store.Entry)
	// Resolve resolves host names of the allowlist; nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Describe says in one line where an address is from, and may ask somebody until
	// ctx ends; Known asks nobody. "" is unknown. nil: nobody knows.
	Describe func(ctx context.Context, a netip.Addr) string
	Known    func(a netip.Addr) string
	Logger   *zap.Logger
	// AuditLogger gets who changed what.
	AuditLogger *zap.Logger
	Registerer  prometheus.Registerer // nil: not measured
}

// Control serves the control API: on a Unix socket, where whoever can open it may
// do everything, and over TCP to those who have a token. It is no part of any
// login's way: when it fails or is flooded, logins go on.
//
// The way of a request: authenticate says who asks, a route of routes.go what
// for and whether he may, decode.go reads what he says, and a method of Control
// carries it out.
type Control struct {
	options  ControlOptions
	log      *zap.Logger
	started  time.Time
	auditor  auditor
	names    *names
	refusals *refusals
	http     http.Server
	tokens   atomic.Pointer[[]token]
	cert     atomic.Pointer[tls.Certificate]
	watchers atomic.Int64
	stopping chan struct{} // closed when streams shall end
	stop     func()        // closes it
}

// The bounds of what one may ask of the control API.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 30 * time.Second // to read a request whole
	answerTimeout  = 2 * time.Minute  // to carry it out and have the answer taken
	maxConnections = 128              // of the socket, and of TCP
)

// NewControl returns the API of a configuration that has passed Check.
func NewControl(cfg ControlConfig, o ControlOptions) (*Control, error) {
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	c := &Control{
		options: o, log: o.Logger, started: time.Now().UTC(), stopping: make(chan struct{}),
		auditor: auditor{shared: o.Audit, log: o.AuditLogger},
		names: &names{
			guard: o.Guard, store: o.Store, host: o.Host, resolve: o.Resolve, log: o.Logger,
			kicked: make(chan struct{}, 1), failed: map[string]string{},
		},
	}
	var err error
	if c.refusals, err = newRefusals(o.Logger, o.Registerer); err != nil {
		return nil, err
	}
	c.stop = sync.OnceFunc(func() { close(c.stopping) })
	if err := c.Reload(cfg); err != nil {
		return nil, err
	}
	c.http = http.Server{
		Handler: c.handler(), ConnContext: withPeer,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: zap.NewStdLog(o.Logger),
	}
	return c, nil
}

// Reload takes over tokens and certificate of a configuration that has passed
// Check. On an error nothing has changed.
func (c *Control) Reload(cfg ControlConfig) error {
	tokens, err := cfg.tokens()
	if err != nil {
		return fmt.Errorf("admin.control: %w", err)
	}
	var cert *tls.Certificate
	if cfg.TLSCert != "" {
		if cert, err = cfg.certificate(); err != nil {
			return fmt.Errorf("admin.control: %w", err)
		}
	}
	c.tokens.Store(&tokens)
	c.cert.Store(cert)
	return nil
}

// Serve answers on a listener until Shutdown, then returns nil. On a Unix socket
// nobody is asked for a token; TCP is TLS where there is a certificate.
func (c *Control) Serve(l net.Listener) error {
	var err error
	l = bounded(l, maxConnections)
	if _, unix := l.Addr().(*net.UnixAddr); unix || c.cert.Load() == nil {
		err = c.http.Serve(l)
	} else {
		err = c.http.Serve(tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if cert := c.cert.Load(); cert != nil {
					return cert, nil
				}
				return nil, errors.New("the certificate was taken from the configuration")
			},
		}))
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// Run keeps the host names of the allowlist resolved until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	c.names.run(ctx)
	return nil
}

// Shutdown ends streams at once and the server when other requests under way
// are answered, or ctx ends.
func (c *Control) Shutdown(ctx context.Context) error {
	c.stop()
	if err := c.http.Shutdown(ctx); err != nil {
		return errors.Join(err, c.http.Close())
	}
	return nil
}
