package policy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
)

const (
	// initialBuffer holds the usual request, of 600 to 1,000 bytes.
	initialBuffer = 4 << 10
	// keptBuffer is the largest buffer that a connection keeps between requests.
	keptBuffer = 16 << 10
	// firstWithin is how long a connection that has not asked yet is waited for when
	// the server stops.
	firstWithin = time.Second
	// notAsking is conn.asked while the judge is not asked.
	notAsking = -1
)

// What a connection is doing. Shutdown closes the idle ones that have asked before; the
// others close themselves when they have answered.
const (
	idle    int32 = iota // it waits for a request
	partial              // it waits for the rest of one
	busy
	closed
)

// errStopped ends a connection because the server stops.
var errStopped = errors.New("the server stops")

// errOversize ends a connection whose request is too long to find its end.
var errOversize = errors.New("request too long")

// errOver ends a connection of which nothing is to be said.
var errOver = errors.New("over")

// conn is a connection of an smtpd process: one request at a time, each
// answered before the next is looked at. Everything is kept from one request
// to the next, so that deciding allocates nothing.
type conn struct {
	srv    *Server
	nc     net.Conn
	ctx    context.Context // ends when the judge takes too long, and the connection with it
	cancel context.CancelFunc

	since time.Time   // when it was opened
	heard atomic.Bool // it has asked something

	state  atomic.Int32
	unsure atomic.Bool  // it may have been left when the last request came
	asked  atomic.Int64 // when the judge was asked, after Server.born

	buf     []byte
	r, w    int  // what is read and not yet handled: buf[r:w]
	scanned int  // of that, whole lines without the end of a request
	begun   bool // the rest of a request is waited for

	now        time.Time // of the last read or write
	readUntil  time.Time // the deadlines that are set
	writeUntil time.Time

	req      request
	ending   ending
	placed   placed
	attempt  guard.Attempt
	login    string // the last one asked about, as a string
	slept    once
	reported once
	out      []byte
}

func newConn(ctx context.Context, srv *Server, nc net.Conn) *conn {
	c := &conn{srv: srv, nc: listen.Direct(nc), buf: make([]byte, initialBuffer), now: time.Now()}
	c.since = c.now
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.asked.Store(notAsking)
	return c
}

// serve answers requests until the connection ends. A panic ends this
// connection only: Postfix asks again, then takes its default_action.
func (c *conn) serve() {
	defer c.srv.forget(c)
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked(c, p)
		}
	}()
	c.ended(listen.Follow(c.nc, c))
}

// Room implements listen.Inbox: it says how long the rest of a request, or the next one,
// is waited for.
func (c *conn) Room() ([]byte, error) {
	set := c.srv.settings.Load()
	if c.w-c.r >= set.maxRequest {
		return nil, errOversize
	}
	switch {
	case c.r == c.w:
		c.begun = false
		if err := c.rest(set.idle); err != nil {
			return nil, err
		}
	default:
		c.state.Store(partial)
		if c.begun {
			break
		}
		// Once for the whole rest: a byte now and then gains no time.
		c.begun = true
		c.readUntil = c.now.Add(set.read)
		if err := c.nc.SetReadDeadline(c.readUntil); err != nil {
			return nil, err
		}
	}
	c.makeRoom(set.maxRequest)
	return c.buf[c.w:], nil
}

// Came implements listen.Inbox: it answers what is whole.
func (c *conn) Came(n int) error {
	c.now = time.Now()
	if !c.unsure.Load() {
		c.unsure.Store(true)
	}
	if c.r < c.w {
		c.state.Store(busy)
	} else if !c.state.CompareAndSwap(idle, busy) {
		return errStopped
	}
	c.w += n
	for {
		var is bool
		if is, c.scanned = whole(c.buf[c.r:c.w], c.scanned); !is {
			return nil
		}
		if err := c.handle(c.srv.settings.Load()); err != nil {
			return err
		}
		c.begun = false
	}
}

// handle answers the request that has come.
func (c *conn) handle(set *settings) error {
	asked := c.now
	do := c.answer(set)
	if !c.heard.Load() {
		c.heard.Store(true)
	}
	if err := c.write(set); err != nil {
		return errOver
	}
	c.srv.metrics.answered(do, c.now.Sub(asked))
	if c.ctx.Err() != nil {
		return errOver // the deadline was missed, or the server is killed
	}
	return nil
}

// rest makes the connection idle: from here on Shutdown may close it.
func (c *conn) rest(timeout time.Duration) error {
	c.state.Store(idle)
	if c.srv.stopping.Load() {
		return c.last()
	}
	// Setting a deadline costs more than deciding: an eighth less is no matter.
	until := c.now.Add(timeout)
	if ahead := until.Sub(c.readUntil); ahead >= 0 && ahead < timeout/8 {
		return nil
	}
	c.readUntil = until
	if err := c.nc.SetReadDeadline(until); err != nil {
		return err
	}
	if c.srv.stopping.Load() { // the deadline may have replaced that of beginStop
		return c.last()
	}
	return nil
}

// last has the connection wait for its first request only, when the server stops: who
// has connected asks at once, and whom this process has accepted the next will not.
func (c *conn) last() error {
	if c.heard.Load() {
		return errStopped
	}
	return c.nc.SetReadDeadline(time.Now().Add(firstWithin))
}

// makeRoom leaves at least one free byte behind c.w, and moves what is not
// handled to the front.
func (c *conn) makeRoom(most int) {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		if len(c.buf) > keptBuffer {
			c.buf = make([]byte, initialBuffer)
		}
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	case c.w == len(c.buf):
		// Room has seen that most is larger than what the full buffer holds.
		larger := make([]byte, min(2*len(c.buf), most))
		copy(larger, c.buf)
		c.buf = larger
	}
}

// write sends the answer. There is nearly always room for it.
func (c *conn) write(set *settings) (err error) {
	if n := listen.WriteNow(c.nc, c.out); n < len(c.out) {
		err = c.writeLate(set, c.out[n:])
	}
	c.now = time.Now()
	return err
}

// writeLate waits until an answer is taken.
func (c *conn) writeLate(set *settings, rest []byte) error {
	if left := c.writeUntil.Sub(c.now); left < set.read*3/4 || left > set.read {
		c.writeUntil = c.now.Add(set.read)
		if err := c.nc.SetWriteDeadline(c.writeUntil); err != nil {
			return err
		}
	}
	_, err := c.nc.Write(rest)
	return err
}

// ended says why a connection ended, where it is anything to speak of.
func (c *conn) ended(err error) {
	rest := c.buf[c.r:c.w]
	switch {
	case errors.Is(err, errStopped), errors.Is(err, errOver):
	case errors.Is(err, errOversize):
		c.srv.malformed(c, badOversize, rest)
	case len(rest) == 0:
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			c.srv.log.Debug("connection lost", zap.Stringer("peer", c.nc.RemoteAddr()), zap.Error(err))
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.srv.malformed(c, badSlow, rest)
	default:
		c.srv.malformed(c, badTruncated, rest)
	}
}
