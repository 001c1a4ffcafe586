package dovecotpolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// maxAcceptPause is the longest wait after a failed accept, as when the process
// has no file descriptors left. The listener is not given up: Dovecot would back
// off for as long again as it had been gone.
const maxAcceptPause = time.Second

// gate is one listener in front of several. It counts the connections let in
// and closes those beyond the limit at once, before any of the transport's time
// goes into them. Where some of those let in have not asked anything yet, the oldest
// of them has to go instead: whoever opens connections and says nothing, or says it
// slowly, does not keep Dovecot out.
type gate struct {
	max        int64
	complaints *complaints
	metrics    *metrics

	open      atomic.Int64
	silent    newcomers
	conns     chan net.Conn
	stopping  atomic.Bool // no more is accepted
	accepting sync.WaitGroup
	closed    chan struct{} // and all that was accepted is handed on
	once      sync.Once

	mu        sync.Mutex
	listeners []net.Listener
	err       error // why a listener ended by itself
}

func newGate(maxConnections int, c *complaints) *gate {
	return &gate{
		max:        int64(maxConnections),
		complaints: c,
		conns:      make(chan net.Conn),
		closed:     make(chan struct{}),
	}
}

// add starts accepting from a listener, which then belongs to the gate.
func (g *gate) add(l net.Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping.Load() {
		l.Close()
		return
	}
	g.listeners = append(g.listeners, l)
	g.accepting.Go(func() { g.accept(l) })
}

func (g *gate) accept(l net.Listener) {
	var pause time.Duration
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			g.pass(c)
		case g.stopping.Load():
			return
		case errors.Is(err, net.ErrClosed):
			g.fail(err)
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			g.complaints.say(complainAccept, "accepting a connection of Dovecot", func() []zap.Field {
				return []zap.Field{zap.Error(err), zap.Stringer("listener", l.Addr())}
			})
			select {
			case <-time.After(pause):
			case <-g.closed:
				return
			}
		}
	}
}

// pass hands a connection on, or closes it.
func (g *gate) pass(c net.Conn) {
	if g.open.Add(1) > g.max && !g.silent.oust() {
		g.left()
		g.metrics.overflow.Inc()
		g.complaints.say(complainOverflow, "too many connections: closing new ones, and Dovecot lets their logins through", func() []zap.Field {
			return []zap.Field{zap.Int64("max_connections", g.max)}
		})
		c.Close()
		return
	}
	_, isTLS := c.(*tls.Conn)
	c = g.silent.add(c)
	if !isTLS {
		c = &spared{Conn: c, gate: g}
	}
	select {
	case g.conns <- c:
	case <-g.closed:
		g.left()
		c.Close()
	}
}

// left counts a connection that is no more.
func (g *gate) left() { g.open.Add(-1) }

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener. There is no one address to tell.
func (g *gate) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// handOver is how long Close waits for the transport to take what was accepted.
const handOver = time.Second

// Close closes all listeners, and then the gate, when what was accepted before is
// handed on: its question is on the way, and nobody else would answer it. Connections
// let in before go on.
func (g *gate) Close() error {
	err := g.closeListeners()
	done := make(chan struct{})
	go func() { g.accepting.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(handOver):
	}
	g.end()
	return err
}

func (g *gate) closeListeners() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopping.Store(true)
	var errs []error
	for _, l := range g.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	g.listeners = nil
	return errors.Join(errs...)
}

func (g *gate) end() { g.once.Do(func() { close(g.closed) }) }

// drained returns when every connection is closed, or when the context ends.
func (g *gate) drained(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for g.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// fail ends everything because a listener was closed by somebody else.
func (g *gate) fail(err error) {
	g.mu.Lock()
	g.err = errors.Join(g.err, err)
	g.mu.Unlock()
	_ = g.closeListeners()
	g.end() // Close would wait for who calls this
}

// failure returns why a listener ended by itself, or nil.
func (g *gate) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// withTLS wraps a listener whose connections speak TLS with whichever
// certificate is current. HTTP/2 is not offered: Dovecot does not speak it.
func withTLS(l net.Listener, certificate func() *tls.Certificate) net.Listener {
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificate(), nil
		},
	})
}
