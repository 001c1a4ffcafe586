// Package policy is the Postfix face: a server of the SMTP access policy
// delegation protocol (http://www.postfix.org/SMTPD_POLICY_README.html). It
// reads requests, asks the guard, and writes actions; it decides nothing.
//
// It never permits: DUNNO leaves the decision to Postfix's other restrictions,
// `sleep N` delays, and 421 or 521 with a text refuses and hangs up. A delay is
// asked of Postfix, never made by answering late, since a late answer would
// meet Postfix's policy timeout.
//
// On failure mail goes on. What cannot be judged is answered DUNNO; where no
// answer is possible the connection is closed, and Postfix asks once more and
// then takes its default_action.
package policy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/saslguard/saslguard/guard"
)

const (
	// acceptPause follows a failure to accept, such as too many open files.
	acceptPause = 100 * time.Millisecond
	// Of the same log line about strangers, loggedFirst a minute are written.
	loggedFirst = 5
	// stopWithin bounds the end of Serve where no Shutdown does.
	stopWithin = 5 * time.Second
)

// Options are what a Server uses beside its configuration. The zero Options
// log nothing and register nothing.
type Options struct {
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	Names      *guard.Names // how logins are written; nil: as they are
}

// Server answers policy requests.
type Server struct {
	judge    Judge
	settings atomic.Pointer[settings]
	metrics  *metrics
	names    *guard.Names
	log      *zap.Logger
	limited  *zap.Logger // for what strangers can cause
	born     time.Time

	stopping atomic.Bool
	stop     chan struct{} // closed by Shutdown
	stopped  chan struct{} // closed when Serve returns

	mu      sync.Mutex
	conns   map[*conn]struct{}
	serving bool
	wg      sync.WaitGroup // connections
}

// New returns a server that is not yet serving. It fails where the
// configuration does not pass Check or a metric is registered already.
func New(cfg Config, judge Judge, opts Options) (*Server, error) {
	set, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = zap.NewNop()
	}
	s := &Server{
		judge:   judge,
		metrics: m,
		names:   opts.Names,
		log:     log,
		limited: log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Minute, loggedFirst, 0)
		})),
		born:    time.Now(),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
	}
	s.settings.Store(set)
	return s, nil
}

// Reload takes texts, contexts, limits and timeouts from a new configuration;
// requests being answered keep the old one. Where it listens does not change.
// On an error nothing changes.
func (s *Server) Reload(cfg Config) error {
	set, err := newSettings(cfg)
	if err == nil {
		s.settings.Store(set)
	}
	return err
}

// Serve answers on listeners until ctx ends, Shutdown is called or a listener
// fails, and returns when every connection has ended. It owns the listeners and
// closes them in every case. It fails only for a listener, or when it is called
// twice. When ctx ends it answers what is in flight first, for at most 5 s.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	defer closeListeners(listeners)
	s.mu.Lock()
	again := s.serving
	s.serving = true
	s.mu.Unlock()
	if again {
		return errors.New("a policy server serves once")
	}
	defer close(s.stopped)

	// The end of ctx must not take the answers away from what is in flight.
	alive, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	failed := make(chan error, len(listeners))
	var accepting, watching sync.WaitGroup
	for _, l := range listeners {
		accepting.Go(func() {
			if err := s.accept(alive, l); err != nil {
				failed <- fmt.Errorf("accept on %s: %w", l.Addr(), err)
			}
		})
	}
	watching.Go(func() { s.watch(alive) })

	var err error
	select {
	case <-s.stop: // Shutdown bounds the waiting
	case <-ctx.Done():
		defer time.AfterFunc(stopWithin, s.closeAll).Stop()
	case err = <-failed:
		defer time.AfterFunc(stopWithin, s.closeAll).Stop()
	}
	s.beginStop()
	closeListeners(listeners)
	accepting.Wait()
	s.wg.Wait()
	kill()
	watching.Wait()
	return err
}

func closeListeners(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// Shutdown stops accepting, closes idle connections at once but for those that have not
// asked yet, lets requests that have begun be answered, and returns when all is done.
// When ctx ends before, the rest is closed without an answer and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	if serving := s.beginStop(); !serving {
		return nil
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		s.closeAll()
		return ctx.Err()
	}
}

// beginStop closes what is idle and makes the rest end after its answer. It
// tells whether Serve was called.
func (s *Server) beginStop() (serving bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping.Swap(true) {
		close(s.stop)
	}
	for c := range s.conns {
		if !c.heard.Load() {
			if c.state.Load() == idle { // its first request may be on the way
				_ = c.nc.SetReadDeadline(time.Now().Add(firstWithin))
			}
		} else if c.state.CompareAndSwap(idle, closed) {
			_ = c.nc.Close()
		}
	}
	return s.serving
}

// accept takes connections until the listener is closed.
func (s *Server) accept(alive context.Context, l net.Listener) error {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.take(alive, nc)
		case s.stopping.Load():
			return nil
		case passes(err):
			s.limited.Error("cannot accept a connection", zap.Stringer("address", l.Addr()), zap.Error(err))
			select {
			case <-time.After(acceptPause):
			case <-s.stop:
			}
		default:
			return err
		}
	}
}

// passes tells whether a failure to accept is one of the moment.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
