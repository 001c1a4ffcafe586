package memory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// ErrLocked is returned by Open when another process has the file open.
var ErrLocked = errors.New("another saslguard uses the state file")

// errBroken is returned by every write after one has panicked.
var errBroken = errors.New("the state file was damaged while it was in use")

// lockTimeout is how long Open waits for a process that is about to end.
const lockTimeout = time.Second

// file is the bbolt file. Reading a damaged one through bbolt's mapping is a
// panic or a SIGBUS, so that it is read whole before, and every write is
// guarded. A failing disk stops no login: writes return errors, which are
// counted, and logged when that begins and ends.
type file struct {
	db     *bbolt.DB
	path   string
	log    *zap.Logger
	meters *meters
	health health
}

// openFile opens the file, or starts a new one after setting aside what is none
// of ours or damaged.
func openFile(path string, now func() time.Time, log *zap.Logger, m *meters) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f := &file{path: path, log: log, meters: m}
	err := f.open(path, now)
	if errors.Is(err, errSetAside) {
		err = f.open(path, now)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state file %s: %w", path, err)
	}
	return f, nil
}

// errSetAside is returned by open after it has set aside an unusable file.
var errSetAside = errors.New("it was set aside")

// setAside renames an unusable file, so that an operator can look at it.
func setAside(path string, why error, now time.Time, log *zap.Logger) error {
	base := fmt.Sprintf("%s.unusable-%s", path, now.UTC().Format("20060102T150405Z"))
	to := base
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s-%d", base, i)
	}
	if err := os.Rename(path, to); err != nil {
		return err
	}
	log.Error("the state file cannot be used: set aside, and a new one begun; bans, scores and familiar pairs in it are gone",
		zap.String("file", path), zap.String("set_aside_as", to), zap.NamedError("why", why))
	return nil
}

// open opens the file and makes sure of its format. An unusable file is set
// aside while it is still locked: of two processes that find it, one does so.
func (f *file) open(path string, now func() time.Time) error {
	var raw *os.File
	options := &bbolt.Options{
		FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, perm fs.FileMode) (*os.File, error) {
			var err error
			if raw, err = openLocked(name, flag, perm); err != nil {
				return nil, err
			}
			return raw, checkPages(raw)
		},
	}
	err := guarded(func() (err error) {
		if f.db, err = bbolt.Open(path, 0o600, options); err != nil {
			return err
		}
		return f.db.Update(prepare)
	})
	if err == nil {
		return syncDir(filepath.Dir(path))
	}
	if unusable(err) {
		if err = setAside(path, err, now(), f.log); err == nil {
			err = errSetAside
		}
	}
	if raw != nil {
		// Not through bbolt, which may still hold a lock after a panic. What it
		// has mapped stays so.
		_ = raw.Close()
	}
	return err
}

// openLocked opens the file and locks it. bbolt's own lock is the same one on
// the same descriptor.
func openLocked(name string, flag int, perm fs.FileMode) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, flag, perm)
		if err != nil {
			return nil, err
		}
		if err = lock(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// While we waited, another process may have set the file aside.
		if there, err := os.Stat(name); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		_ = f.Close()
	}
}

func lock(f *os.File) error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("locking: %w", err)
		case time.Now().After(end):
			return ErrLocked
		}
	}
}

// syncDir makes the file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// guarded turns a panic, or a fault in mapped memory, into an error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return f()
}

var errPanic = errors.New("bbolt panicked")

// update carries out a durable transaction.
func (f *file) update(fn func(tx *bbolt.Tx) error) error {
	err := errBroken
	if !f.health.isBroken() {
		err = guarded(func() error { return f.db.Update(fn) })
	}
	if err != nil {
		f.meters.writeErrors.Inc()
		if f.health.failed(err) {
			f.log.Error("the state file cannot be written: what is learnt from now on does not survive a restart",
				zap.Error(err))
		}
	}
	return err
}

// close closes the file. A broken one is left to the end of the process: bbolt
// may wait for a lock that its panic kept.
func (f *file) close() error {
	if f.health.isBroken() {
		return errBroken
	}
	return guarded(f.db.Close)
}
