package dovecotpolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
)

const (
	// headerSize bounds the request line and headers, in bytes. Dovecot sends
	// some 300, its URL and credentials included.
	headerSize = 8 << 10
	// answerSize is the buffer of an answer, in bytes: headers and all fit in.
	answerSize = 1 << 10
	// shutdownWithin is how long Serve waits for requests in flight when its
	// context ends. No answer takes longer than checkWithin.
	shutdownWithin = 5 * time.Second
)

// ErrNoCredentials says that others than this host could reach a listener on
// which nothing is asked of them.
var ErrNoCredentials = errors.New("needs api_key, or user and password, because others than this host can reach it")

// Options are what a Server needs beside its configuration.
type Options struct {
	Logger     *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: metrics are counted for nobody
	Now        func() time.Time      // nil: time.Now
	Names      *guard.Names          // how logins are written; nil: as they are
}

// Server answers Dovecot. Its methods may be called at the same time.
type Server struct {
	now        func() time.Time
	names      *guard.Names
	answerer   *answerer
	metrics    *metrics
	complaints *complaints
	gate       *gate
	http       *fasthttp.Server
	settings   atomic.Pointer[settings]

	mu      sync.Mutex // of a reload, and of a listener that comes
	exposed bool       // others than this host can reach a listener
}

// New makes a server of a configuration that passed its Check. It reads the TLS
// files; it fails if it cannot, or if the metrics are registered already.
func New(cfg Config, judge Judge, opts Options) (*Server, error) {
	set, err := newSettings(&cfg)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{
		now:        opts.Now,
		names:      opts.Names,
		complaints: &complaints{log: opts.Logger, now: opts.Now},
	}
	s.settings.Store(set)
	s.gate = newGate(cfg.MaxConnections, s.complaints)
	s.metrics, err = newMetrics(opts.Registerer, func() float64 { return float64(s.gate.open.Load()) })
	if err != nil {
		return nil, fmt.Errorf("dovecot: metrics: %w", err)
	}
	s.gate.metrics = s.metrics
	s.answerer = newAnswerer(judge, s.metrics)
	s.http = s.transport(&cfg)
	return s, nil
}

// transport sets fasthttp up.
func (s *Server) transport(cfg *Config) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:            s.handle,
		ErrorHandler:       s.handleError,
		ReadTimeout:        cfg.ReadTimeout,
		WriteTimeout:       cfg.ReadTimeout,
		IdleTimeout:        cfg.IdleTimeout,
		MaxRequestBodySize: cfg.MaxBody,
		ReadBufferSize:     headerSize,
		WriteBufferSize:    answerSize,
		// The gate keeps the limit, since beyond its own fasthttp answers in the
		// accepting goroutine, where one slow client would hold up all others.
		Concurrency: 2 * cfg.MaxConnections,
		ConnState: func(c net.Conn, state fasthttp.ConnState) {
			if sp, ok := c.(*spared); ok {
				sp.idle.Store(state == fasthttp.StateIdle)
			}
			if state == fasthttp.StateClosed {
				s.gate.left()
			}
		},
		Logger:                       s.complaints,
		SecureErrorLogMessage:        true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true, // the content type is ignored
		CloseOnShutdown:              true,
		// Dovecot keeps at most 100 connections and leaves none idle for more
		// than 10 s, so there are few buffers to save.
		ReduceMemoryUsage: false,
	}
}

// Serve answers on listeners until the context ends or Shutdown is called. It
// owns them, closes them in every case, and returns nil after either; when the
// context ends it first answers what is in flight, for at most 5 s. It fails
// with ErrNoCredentials if others than this host could reach one of the
// listeners without credentials, which matters for those that systemd passes:
// no Check has seen their addresses.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	if err := s.expose(listeners); err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return err
	}
	for _, l := range listeners {
		if s.settings.Load().certificate != nil && l.Addr().Network() != "unix" {
			l = withTLS(l, func() *tls.Certificate { return s.settings.Load().certificate })
		} else {
			l = frugal{Listener: l, slack: min(s.http.ReadTimeout, s.http.IdleTimeout) / 8}
		}
		s.gate.add(l)
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.gate) }()
	select {
	case err := <-served:
		return errors.Join(err, s.gate.failure())
	case <-ctx.Done():
	}
	// Its end is what brought us here, and must not cut the waiting short.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	return errors.Join(s.Shutdown(bounded), <-served)
}

// expose refuses listeners that others can reach when nothing is asked of them,
// and remembers that there are such.
func (s *Server) expose(listeners []net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range listeners {
		if listen.Local(l.Addr()) {
			continue
		}
		if !s.settings.Load().credentials.required() {
			return fmt.Errorf("dovecot: listener %s %w", l.Addr(), ErrNoCredentials)
		}
		s.exposed = true
	}
	return nil
}

// lingering is how long kept connections stay open when the server stops. What is
// asked on them meanwhile is answered, and Dovecot told to close: closed at once, a
// question may cross the end of its connection, and Dovecot asks once only.
const lingering = 300 * time.Millisecond

// Shutdown closes the listeners, after a moment idle connections, and waits until
// every request in flight is answered, or until the context ends, whose error it then
// returns.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.gate.Close()
	moment, cancel := context.WithTimeout(ctx, lingering)
	defer cancel()
	_ = s.gate.drained(moment)
	if err := errors.Join(err, s.http.ShutdownWithContext(ctx)); err != nil {
		return err
	}
	// The transport does not count yet what it has taken a moment ago.
	return s.gate.drained(ctx)
}

// Reload puts message, nonce, staleness, credentials and TLS certificate into
// force, for the next request on. Where it listens, limits and timeouts stay as
// they were. On an error everything does.
func (s *Server) Reload(cfg Config) error {
	set, err := newSettings(&cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exposed && !set.credentials.required() {
		return fmt.Errorf("dovecot: a listener %w", ErrNoCredentials)
	}
	if (set.certificate == nil) != (s.settings.Load().certificate == nil) {
		return errors.New("dovecot: TLS cannot be switched on or off without a restart")
	}
	s.settings.Store(set)
	return nil
}
