package listen

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Inbox takes what Follow reads.
type Inbox interface {
	// Room is where what comes next goes, at least a byte. It is asked before it is
	// waited for.
	Room() ([]byte, error)
	// Came is told how many bytes have come.
	Came(n int) error
}

// Follow reads a connection until it ends, or the inbox ends it by an error, and returns
// why. Of one that Direct has made it does not try to read what it has just emptied: who
// asks and waits for the answer has said nothing more by then. That is a call to the
// system less for each question.
//
// What it cannot tell from that is that the other end was closed for writing together
// with the last of what came from it: see NoticeEnd. While the inbox works, Close waits;
// see HangUp.
func Follow(nc net.Conn, in Inbox) error {
	c, ok := nc.(*direct)
	f := follower{of: c, in: in}
	var err error
	if f.room, err = in.Room(); err != nil {
		return err
	}
	if !ok {
		return f.read(nc)
	}
	if err = c.raw.Read(f.ready); err == nil {
		return f.err
	}
	return c.failed("read", err)
}

type follower struct {
	of   *direct
	in   Inbox
	room []byte
	err  error // why it has ended
}

// read follows a connection by Read.
func (f *follower) read(nc net.Conn) error {
	for {
		n, err := nc.Read(f.room)
		if n > 0 && !f.came(n) {
			return f.err
		}
		if err != nil {
			return err
		}
	}
}

// ready reads what has come, and tells whether that is the end. A read that does not
// fill the room has emptied the socket: what comes afterwards is told by the poller.
func (f *follower) ready(fd uintptr) (ended bool) {
	f.of.now = fd + 1
	defer func() { f.of.now = 0 }()
	for {
		n, errno := receiveNow(fd, f.room)
		switch {
		case errno == syscall.EAGAIN:
			return false
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			f.err = os.NewSyscallError("read", errno)
			return true
		case n == 0:
			f.err = io.EOF
			return true
		}
		emptied := n < len(f.room)
		if !f.came(n) {
			return true
		}
		if emptied {
			return false
		}
	}
}

// came hands over what has come, and tells whether it goes on.
func (f *follower) came(n int) bool {
	if f.err = f.in.Came(n); f.err == nil {
		f.room, f.err = f.in.Room()
	}
	return f.err == nil
}

// WriteNow writes what a connection takes at once, and returns how many bytes that was; the
// rest, and what fails, is for Write. It is for the inbox of who follows the connection,
// while it works: by any other it writes nothing.
func WriteNow(nc net.Conn, b []byte) int {
	if c, ok := nc.(*direct); ok && c.now > 0 {
		if n, errno := sendNow(c.now-1, b); errno == 0 {
			return n
		}
	}
	return 0
}

// NoticeEnd has who follows a connection see that it is at its end, if it is: all is
// read, and nothing more can come. It is for those that are waited on.
func NoticeEnd(nc net.Conn) {
	c, ok := nc.(*direct)
	if !ok {
		return
	}
	_ = c.raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if n == 0 && err == nil {
			_ = syscall.Shutdown(int(fd), syscall.SHUT_RD) // which wakes him
		}
	})
}

// HangUp ends a connection without waiting for who uses it. Reading and writing end, and
// whoever does has to close it.
func HangUp(nc net.Conn) {
	c, ok := nc.(*direct)
	if !ok {
		_ = nc.Close()
		return
	}
	_ = c.raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
}
