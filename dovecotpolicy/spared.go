package dovecotpolicy

import (
	"net"
	"sync/atomic"
	"syscall"
)

// spared is a connection that is not closed as idle while a question waits in it: the
// transport calls a connection idle until it has read one, and when it stops it closes
// the idle ones. Dovecot asks once only, and lets in whoever it gets no answer for.
// The transport answers such a question and closes the connection then.
type spared struct {
	net.Conn
	gate *gate
	idle atomic.Bool
	once atomic.Bool
}

// Close closes the connection, unless the gate stops and a question has come.
func (c *spared) Close() error {
	if c.idle.Load() && c.gate.stopping.Load() && !c.once.Swap(true) && c.unread() {
		return nil
	}
	return c.Conn.Close()
}

// unread tells whether bytes have come that nobody has read.
func (c *spared) unread() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	if err := raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}); err != nil {
		return false
	}
	return n > 0
}
