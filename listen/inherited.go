package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// Inherited returns the sockets that systemd passed to this process, by the
// FileDescriptorName= of their units
// (https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html).
// It takes LISTEN_FDS and its kin out of the environment, so that no child
// mistakes them for its own, and finds nothing when it is called again. A
// descriptor that is not a listening stream socket is an error, and then none
// is returned. Closing these listeners leaves the files of Unix sockets in
// place: they are systemd's.
func Inherited() (map[string][]net.Listener, error) {
	files := activation.Files(true)
	listeners := make(map[string][]net.Listener, len(files))
	var failed error
	for _, f := range files {
		l, err := fileListener(f)
		if err != nil {
			failed = fmt.Errorf("socket %q from systemd (use ListenStream=): %w", f.Name(), err)
			continue
		}
		listeners[f.Name()] = append(listeners[f.Name()], l)
	}
	if failed != nil {
		for _, named := range listeners {
			for _, l := range named {
				_ = l.Close()
			}
		}
		return nil, failed
	}
	return listeners, nil
}

// fileListener makes a listener of a descriptor and closes the descriptor.
func fileListener(f *os.File) (net.Listener, error) {
	defer f.Close() // net.FileListener duplicates it
	// A unit with Accept=yes passes connections, which net.FileListener takes.
	listening, err := syscall.GetsockoptInt(int(f.Fd()), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil {
		return nil, err
	}
	if listening == 0 {
		return nil, errors.New("it is not listening (Accept=no is needed)")
	}
	return net.FileListener(f)
}
