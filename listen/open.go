package listen

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// Open opens every address of the configuration and returns the listeners,
// those inherited behind them. An address that an inherited socket has already
// is not opened again. When one cannot be opened, those that were are closed
// and the error names the address and what to do; the inherited ones stay open
// and the caller's. The configuration must have passed Check, except that port
// 0 is taken: the kernel chooses.
func Open(cfg Config, inherited []net.Listener) ([]net.Listener, error) {
	all := make([]net.Listener, 0, len(cfg.Listen)+len(inherited))
	for _, address := range cfg.Listen {
		if has(inherited, address) {
			continue
		}
		l, err := open(address, cfg)
		if err != nil {
			for _, opened := range all {
				_ = opened.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return append(all, inherited...), nil
}

func open(address string, cfg Config) (net.Listener, error) {
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		return openUnix(path, cfg)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use: another saslguard runs, or another program has the port; stop it or listen elsewhere: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this host; listen on one that is: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l, nil
}

// has tells whether one of the listeners has an address of the configuration.
func has(listeners []net.Listener, address string) bool {
	for _, l := range listeners {
		switch a := l.Addr().(type) {
		case *net.UnixAddr:
			if unixPrefix+a.Name == address {
				return true
			}
		case *net.TCPAddr:
			if a.String() == address {
				return true
			}
		}
	}
	return false
}

// Local tells whether only this host can reach an address: it is a Unix
// socket, or a loopback address.
func Local(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}
