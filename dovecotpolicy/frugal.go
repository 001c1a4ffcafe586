package dovecotpolicy

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/saslguard/saslguard/listen"
)

// frugal is a listener whose connections set a deadline only before they wait. The
// transport sets three for each request; most requests come whole, with what was
// waited for, and one deadline is much like the last.
//
// It is not for TLS, whose Close sets deadlines while others read and write.
type frugal struct {
	net.Listener
	slack time.Duration // by which a deadline may be earlier than was asked for
}

// Accept implements net.Listener.
func (l frugal) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &frugalConn{Conn: listen.Direct(c), slack: l.slack}, nil
}

// frugalConn is used by one goroutine, but for Close.
type frugalConn struct {
	net.Conn
	slack       time.Duration
	read, write deadlines
}

// deadlines are the one that is asked for and the one that is in force.
type deadlines struct{ asked, set time.Time }

// due tells whether the deadline that is asked for has to be put into force, because
// it is earlier than the one that is, or later by more than a slack.
func (d *deadlines) due(slack time.Duration) bool {
	if d.asked.IsZero() || d.set.IsZero() {
		return d.asked != d.set
	}
	more := d.asked.Sub(d.set)
	return more < 0 || more > slack
}

// SetReadDeadline implements net.Conn. It counts from the next Read on.
func (c *frugalConn) SetReadDeadline(t time.Time) error {
	c.read.asked = t
	return nil
}

// SetWriteDeadline implements net.Conn. It counts from the next Write on.
func (c *frugalConn) SetWriteDeadline(t time.Time) error {
	c.write.asked = t
	return nil
}

// SetDeadline implements net.Conn.
func (c *frugalConn) SetDeadline(t time.Time) error {
	c.read.asked, c.write.asked = t, t
	return nil
}

// SyscallConn implements syscall.Conn, by which a spared connection looks for what has
// come.
func (c *frugalConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Read implements net.Conn.
func (c *frugalConn) Read(b []byte) (int, error) {
	if c.read.due(c.slack) {
		if err := c.Conn.SetReadDeadline(c.read.asked); err != nil {
			return 0, err
		}
		c.read.set = c.read.asked
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *frugalConn) Write(b []byte) (int, error) {
	if c.write.due(c.slack) {
		if err := c.Conn.SetWriteDeadline(c.write.asked); err != nil {
			return 0, err
		}
		c.write.set = c.write.asked
	}
	return c.Conn.Write(b)
}
