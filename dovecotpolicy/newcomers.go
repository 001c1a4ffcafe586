package dovecotpolicy

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ousted is how long a connection may stay silent before another may take its place.
// Dovecot opens one when it has something to ask, and does so at once.
const ousted = 100 * time.Millisecond

// newcomers are the connections that have not asked anything yet, the oldest first.
type newcomers struct {
	mu   sync.Mutex
	list list.List // of *newcomer
}

// newcomer is a connection that is one until it has asked, or is closed.
type newcomer struct {
	net.Conn
	of    *newcomers
	place *list.Element // guarded by of.mu; nil: it is none any more
	since time.Time
	asked atomic.Bool
}

func (n *newcomers) add(c net.Conn) net.Conn {
	x := &newcomer{Conn: c, of: n, since: time.Now()}
	n.mu.Lock()
	defer n.mu.Unlock()
	x.place = n.list.PushBack(x)
	return x
}

// oust closes the oldest, and tells whether there was one that has had its time.
func (n *newcomers) oust() bool {
	n.mu.Lock()
	var oldest *newcomer
	if e := n.list.Front(); e != nil && time.Since(e.Value.(*newcomer).since) >= ousted {
		oldest = e.Value.(*newcomer)
		oldest.leave()
	}
	n.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.Conn.Close()
	return true
}

// heard takes note that somebody who may ask has asked on a connection.
func heard(c net.Conn) {
	if s, ok := c.(*spared); ok {
		c = s.Conn
	}
	x, ok := c.(*newcomer)
	if !ok || x.asked.Load() {
		return
	}
	x.asked.Store(true)
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	x.leave()
}

// Close implements net.Conn.
func (x *newcomer) Close() error {
	x.of.mu.Lock()
	x.leave()
	x.of.mu.Unlock()
	return x.Conn.Close()
}

// SyscallConn implements syscall.Conn, by which a spared connection looks for what has
// come.
func (x *newcomer) SyscallConn() (syscall.RawConn, error) {
	if c, ok := x.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// leave ends that it is one. Whoever calls holds of.mu.
func (x *newcomer) leave() {
	if x.place != nil {
		x.of.list.Remove(x.place)
		x.place = nil
	}
}
