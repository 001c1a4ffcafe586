package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// dialTimeout bounds the question whether somebody answers on a socket.
const dialTimeout = time.Second

// unixListener is a Unix socket that was opened here and is unlinked when it
// is closed.
type unixListener struct {
	*net.UnixListener
	path   string
	file   fs.FileInfo
	unlink sync.Once
}

// Close removes the socket's file and closes the socket. A file that somebody
// else has put in its place stays.
func (l *unixListener) Close() error {
	// Unlinked first: once the socket is closed, another process may replace
	// the file, and its inode may have the same number.
	l.unlink.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.file, now) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

func openUnix(path string, cfg Config) (net.Listener, error) {
	mode, err := parseMode(cfg.SocketMode)
	if err != nil {
		return nil, err
	}
	uid, gid, err := lookupOwner(cfg.SocketOwner)
	if err != nil {
		return nil, fmt.Errorf("owner of %s: %w", path, err)
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("cannot open the socket %s: %w", path, err)
	}
	defer unlock()
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		return nil, err
	}
	if err := grant(path, mode, uid, gid); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// bind creates the socket with no permission at all.
func bind(path string) (*unixListener, error) {
	lc := net.ListenConfig{Control: closed}
	l, err := lc.Listen(context.Background(), "unix", path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, inUse(path)
	case err != nil:
		return nil, fmt.Errorf("cannot open the socket %s: %w", path, err)
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // unixListener.Close looks whose file it is
	file, err := os.Lstat(path)
	if err != nil {
		_ = ul.Close()
		return nil, fmt.Errorf("cannot open the socket %s: %w", path, err)
	}
	return &unixListener{UnixListener: ul, path: path, file: file}, nil
}

// closed takes all permissions from a socket before it is bound. Linux gives
// the file the mode of the socket's own inode, less the umask: so the file is
// never wider than asked, and the umask, which is the whole process's, stays.
func closed(_, _ string, c syscall.RawConn) error {
	var chmod error
	if err := c.Control(func(fd uintptr) { chmod = syscall.Fchmod(int(fd), 0) }); err != nil {
		return err
	}
	return chmod
}

// grant sets owner and mode so that at no instant more than asked is allowed,
// and so that CAP_CHOWN suffices: the group first, then the mode while the file
// is still ours, then the user. An id of -1 leaves it as it is.
func grant(path string, mode fs.FileMode, uid, gid int) error {
	if gid >= 0 {
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("cannot set the group of a socket: %w", err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("cannot set the mode of a socket: %w", err)
	}
	if uid >= 0 {
		if err := os.Lchown(path, uid, -1); err != nil {
			return fmt.Errorf("cannot set the owner of a socket: %w", err)
		}
	}
	return nil
}

// clearStale removes a socket that a dead process left behind. Only a refused
// connection tells that nobody listens; what is not a socket is never removed.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot open the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: move it away or listen elsewhere", path)
	}
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	if err == nil {
		_ = conn.Close()
		return inUse(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its backlog is full
		return inUse(path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s exists, and whether somebody answers on it cannot be told: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove a stale socket: %w", err)
	}
	return nil
}

// ErrAnswered is wrapped by the error of a Unix socket on which somebody answers.
var ErrAnswered = errors.New("another saslguard runs? Stop it or listen elsewhere")

func inUse(path string) error {
	return fmt.Errorf("%s is in use: %w", path, ErrAnswered)
}

// lockDir keeps two processes that start at once from taking each other's
// socket for a stale one between bind and listen. The lock is on the directory
// itself, so no file is left behind.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * dialTimeout); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			_ = d.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
	}
}

func parseMode(mode string) (fs.FileMode, error) {
	if mode == "" {
		return 0o600, nil
	}
	n, err := strconv.ParseUint(mode, 8, 32)
	if err != nil || n > 0o777 || len(mode) < 3 || len(mode) > 4 {
		return 0, fmt.Errorf("%q is not a mode in octal digits, such as 0660", mode)
	}
	return fs.FileMode(n), nil
}

// lookupOwner returns the ids of "user:group", -1 for what stays as it is.
func lookupOwner(owner string) (uid, gid int, err error) {
	uid, gid = -1, -1
	name, group, err := splitOwner(owner)
	if err != nil {
		return uid, gid, err
	}
	if name != "" {
		if uid, err = lookupID(name, userID); err != nil {
			return -1, -1, err
		}
	}
	if group != "" {
		if gid, err = lookupID(group, groupID); err != nil {
			return -1, -1, err
		}
	}
	return uid, gid, nil
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if errors.As(err, new(user.UnknownUserError)) {
		return "", fmt.Errorf("there is no user %q on this host", name)
	}
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if errors.As(err, new(user.UnknownGroupError)) {
		return "", fmt.Errorf("there is no group %q on this host", name)
	}
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// lookupID resolves a name, or takes it for a number if it is one.
func lookupID(name string, lookup func(string) (string, error)) (int, error) {
	id := name
	if _, err := strconv.ParseUint(name, 10, 31); err != nil {
		if id, err = lookup(name); err != nil {
			return -1, err
		}
	}
	return strconv.Atoi(id)
}
