// Package boltfile opens and writes the bbolt files of the state directory so
// that a damaged file or a failing disk ends no process.
//
// Reading a damaged file through bbolt's mapping is a panic or a SIGBUS. So it is
// read whole before it is mapped, and everything done with it is guarded.
//
// On failure: a file that is damaged, not saslguard's or written by a newer
// version is set aside under another name, and a new one begun. Writes return
// errors, which are counted, and logged when that begins and ends.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

// ErrLocked is returned by Open when another process has the file open.
var ErrLocked = errors.New("another saslguard uses the file")

// What Prepare returns, wrapped, of a file that is to be set aside.
var (
	ErrForeign = errors.New("it is a bbolt file, but not saslguard's")
	ErrVersion = errors.New("it was written by another version")
)

// errBroken is returned by every write after one has panicked.
var errBroken = errors.New("the file was damaged while it was in use")

// lockTimeout is how long Open waits for a process that is about to end.
const lockTimeout = time.Second

// Options are what Open needs beside the path.
type Options struct {
	// What the file is called in messages, as "state file"; what is gone with one
	// that is set aside, as "bans in it"; and what happens while it cannot be
	// written, a sentence without an end.
	What, Lost, Unwritten string
	// Prepare makes sure of the format, and gives it to a new file. A file of which
	// it returns ErrForeign or ErrVersion is set aside.
	Prepare func(tx *bbolt.Tx) error
	// Failed is called for each write that fails; nil is nobody.
	Failed func()
	Now    func() time.Time
	Logger *zap.Logger
}

// File is an open bbolt file. Its methods may be called by many goroutines at
// once.
type File struct {
	// DB is for statistics and limits. What reads and writes goes through View and
	// Update.
	DB *bbolt.DB

	path    string
	options Options
	health  health

	resident atomic.Int64 // bytes that had been written when pages were last let go
}

// Open opens a file, which is created with mode 0600 if there is none, or starts
// a new one after setting aside what is none of ours or damaged. It returns an
// error that wraps ErrLocked if another process has it open.
func Open(path string, o Options) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if o.Failed == nil {
		o.Failed = func() {}
	}
	f := &File{path: path, options: o}
	err := f.open()
	if errors.Is(err, errSetAside) {
		err = f.open()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s %s: %w", o.What, path, err)
	}
	return f, nil
}

// Path is where the file is.
func (f *File) Path() string { return f.path }

// errSetAside is returned by open after it has set aside an unusable file.
var errSetAside = errors.New("it was set aside")

// setAside renames an unusable file, so that an operator can look at it.
func (f *File) setAside(why error) error {
	base := fmt.Sprintf("%s.unusable-%s", f.path, f.options.Now().UTC().Format("20060102T150405Z"))
	to := base
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s-%d", base, i)
	}
	if err := os.Rename(f.path, to); err != nil {
		return err
	}
	f.options.Logger.Error("the "+f.options.What+" cannot be used: set aside, and a new one begun; "+f.options.Lost+" are gone",
		zap.String("file", f.path), zap.String("set_aside_as", to), zap.NamedError("why", why))
	return nil
}

// open opens the file and makes sure of its format. An unusable file is set
// aside while it is still locked: of two processes that find it, one does so.
func (f *File) open() error {
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
		if f.DB, err = bbolt.Open(f.path, 0o600, options); err != nil {
			return err
		}
		return f.DB.Update(f.options.Prepare)
	})
	if err == nil {
		return syncDir(filepath.Dir(f.path))
	}
	if unusable(err) {
		if err = f.setAside(err); err == nil {
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

// unusable tells whether an error is about what the file holds, and not about
// whether it can be read at all.
func unusable(err error) bool {
	for _, e := range []error{
		errPanic, errPages, ErrForeign, ErrVersion,
		berrors.ErrInvalid, berrors.ErrVersionMismatch, berrors.ErrChecksum, berrors.ErrInvalidMapping,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// View reads. What it has looked at takes no memory of this process afterwards.
func (f *File) View(fn func(tx *bbolt.Tx) error) error {
	if f.health.isBroken() {
		return errBroken
	}
	return guarded(func() error {
		return f.DB.View(func(tx *bbolt.Tx) error {
			defer f.letGo(tx)
			return fn(tx)
		})
	})
}

// Update carries out a durable transaction.
func (f *File) Update(fn func(tx *bbolt.Tx) error) error {
	err := errBroken
	if !f.health.isBroken() {
		err = guarded(func() error { return f.DB.Update(fn) })
	}
	if err != nil {
		f.options.Failed()
		if f.health.failed(err) {
			f.options.Logger.Error("the "+f.options.What+" cannot be written: "+f.options.Unwritten, zap.Error(err))
		}
		return err
	}
	f.wrote()
	return nil
}

// Close closes the file. A broken one is left to the end of the process: bbolt
// may wait for a lock that its panic kept.
func (f *File) Close() error {
	if f.health.isBroken() {
		return errBroken
	}
	return guarded(f.DB.Close)
}
