package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Runner is what [Main] runs; *testing.M is one.
type Runner interface{ Run() int }

// Main runs the tests of a package alone among all packages that use the lab:
//
//	func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
//
// go test runs packages side by side, and real servers on the same two cores
// disturb each other's latencies. Main also keeps what [Build] made for the
// other tests of the process.
func Main(m Runner) int {
	unlock, err := Lock()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	defer unlock()
	sweep()
	dir := processDir()
	os.RemoveAll(dir) // of a process with our id, long ago
	if err := os.Mkdir(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// Lock waits until no other test process has the lab's servers, and returns
// what lets the next one in. The kernel releases the lock of a process that
// dies.
func Lock() (unlock func(), err error) {
	path := filepath.Join(os.TempDir(), dirPrefix+"lock")
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("opening the lab's lock: %w", err)
	}
	if tryLock(f) != nil {
		fmt.Fprintf(os.Stderr, "lab: waiting for another package's servers (%s)\n", path)
		if err := flock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("taking the lab's lock %s: %w", path, err)
		}
	}
	return func() { f.Close() }, nil
}

func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			return err
		}
	}
}

// openLock opens without O_CREATE first: in sticky directories the kernel
// refuses O_CREATE on files of other users (fs.protected_regular), and reading
// is enough to lock.
func openLock(path string) (*os.File, error) {
	f, err := os.Open(path)
	if !os.IsNotExist(err) {
		return f, err
	}
	return os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
}
