package load

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll waits for connections with epoll, and for a time with a timer of the kernel,
// since epoll's own timeout has whole milliseconds.
type poll struct {
	epoll, timer int
	events       []unix.EpollEvent
	ready        []int
}

const (
	// ofTimer is the index under which the timer is waited for.
	ofTimer = -1
	// coarse is a wait for which epoll's own timeout will do.
	coarse = 100 * time.Millisecond
)

func newPoll() (*poll, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("timer: %w", err)
	}
	p := &poll{epoll: epoll, timer: timer, events: make([]unix.EpollEvent, 256)}
	if err := p.add(timer, ofTimer); err != nil {
		_ = p.close()
		return nil, err
	}
	return p, nil
}

func (p *poll) close() error {
	_ = unix.Close(p.timer)
	return unix.Close(p.epoll)
}

// add waits for a file from now on; index is what wait names it by.
func (p *poll) add(fd, index int) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)})
}

// wait returns the indexes of files that can be read, or none when the time is over.
// What it returns is good until the next call.
func (p *poll) wait(most time.Duration) ([]int, error) {
	timeout := -1
	if most >= coarse {
		timeout = int(most.Milliseconds())
	} else {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(most))}
		if err := unix.TimerfdSettime(p.timer, 0, &spec, nil); err != nil {
			return nil, fmt.Errorf("timer: %w", err)
		}
	}
	n, err := raw(unix.SYS_EPOLL_PWAIT, p.epoll, unsafe.Pointer(&p.events[0]), len(p.events), timeout)
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p.ready = p.ready[:0]
	for _, e := range p.events[:n] {
		if e.Fd != ofTimer {
			p.ready = append(p.ready, int(e.Fd))
			continue
		}
		var times [8]byte
		if _, err := read(p.timer, times[:]); err != nil && err != unix.EAGAIN {
			return nil, fmt.Errorf("timer: %w", err)
		}
	}
	return p.ready, nil
}

// raw calls the kernel without telling Go's scheduler, which would have other threads
// look for work meanwhile and take processor time from the server that is measured.
// Nothing else runs here that would miss the thread.
func raw(call uintptr, fd int, memory unsafe.Pointer, size, more int) (int, error) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(memory), uintptr(size), uintptr(more), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func read(fd int, b []byte) (int, error) {
	return raw(unix.SYS_READ, fd, unsafe.Pointer(&b[0]), len(b), 0)
}

func write(fd int, b []byte) (int, error) {
	return raw(unix.SYS_WRITE, fd, unsafe.Pointer(&b[0]), len(b), 0)
}

// dial connects to a server on an IPv4 address.
func dial(server netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	to := &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}
	if err = unix.Connect(fd, to); err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
