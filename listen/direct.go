package listen

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Direct returns a connection that reads and writes the socket itself, where the system
// allows it; elsewhere it returns the connection as it is. Deadlines and Close are as
// before. One goroutine at a time may read, and one may write.
//
// Go makes ready for it that a call to the system takes long: it may lend the processor
// to others meanwhile, and takes it back afterwards. These calls never wait and take
// microseconds, and that readiness was a good tenth of what a question of Postfix cost.
// What is waited for is waited for in the poller, as ever.
func Direct(nc net.Conn) net.Conn {
	sc, ok := nc.(syscall.Conn)
	if !ok || !directly {
		return nc
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nc
	}
	c := &direct{Conn: nc, raw: raw}
	c.in.step, c.out.step = c.receive, c.send
	return c
}

// direct is a connection that Direct has made.
type direct struct {
	net.Conn
	raw     syscall.RawConn
	in, out transfer
	now     uintptr // the descriptor plus one, while Follow has the inbox work; see WriteNow
}

// transfer is what is read or written now.
type transfer struct {
	b    []byte
	n    int // of it done
	err  error
	step func(fd uintptr) (done bool) // kept, so that no call allocates it
}

// Read implements net.Conn.
func (c *direct) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	t := &c.in
	t.b, t.n, t.err = b, 0, nil
	err := c.raw.Read(t.step)
	t.b = nil
	switch {
	case err != nil: // it is closed, or its deadline has passed
		return 0, c.failed("read", err)
	case t.err != nil:
		return 0, c.failed("read", os.NewSyscallError("read", t.err))
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

// Write implements net.Conn.
func (c *direct) Write(b []byte) (int, error) {
	t := &c.out
	t.b, t.n, t.err = b, 0, nil
	err := c.raw.Write(t.step)
	t.b = nil
	switch {
	case err != nil:
		return t.n, c.failed("write", err)
	case t.err != nil:
		return t.n, c.failed("write", os.NewSyscallError("write", t.err))
	}
	return t.n, nil
}

// receive reads what there is, and tells whether that is the end of it.
func (c *direct) receive(fd uintptr) bool {
	t := &c.in
	for {
		n, errno := receiveNow(fd, t.b)
		switch errno {
		case 0:
			t.n = n
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			t.err = errno
			return true
		}
	}
}

// send writes until all is written or no more is taken.
func (c *direct) send(fd uintptr) bool {
	t := &c.out
	for t.n < len(t.b) {
		n, errno := sendNow(fd, t.b[t.n:])
		switch errno {
		case 0:
			t.n += n
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			t.err = errno
			return true
		}
	}
	return true
}

// failed is an error as net would have it.
func (c *direct) failed(op string, err error) error {
	if inner, ok := err.(*net.OpError); ok {
		err = inner.Err
	}
	local, remote := c.LocalAddr(), c.RemoteAddr()
	return &net.OpError{Op: op, Net: remote.Network(), Source: local, Addr: remote, Err: err}
}

// SyscallConn implements syscall.Conn.
func (c *direct) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }
