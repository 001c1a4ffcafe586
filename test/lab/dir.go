package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// dirPrefix begins the name of every directory the lab makes; the process id
// of its maker follows.
const dirPrefix = "saslguard-lab-"

// socketRoom is how long a directory of the lab may be: Unix socket addresses
// end at 107 bytes, and the servers put theirs two levels deeper.
const socketRoom = 60

// Dir makes a directory that servers running as other users can reach, which
// testing's TempDir is not, and with a name short enough for Unix sockets. It
// is removed when the test ends.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatalf("making a directory for the lab: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the lab's directory: %v", err)
		}
	})
	return dir
}

func makeDir() (string, error) {
	dir, err := os.MkdirTemp(baseDir(), fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
	if err != nil {
		return "", err
	}
	// Chmod, since the umask may have taken from MkdirTemp's mode.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	return dir, nil
}

// baseDir is the system's temporary directory, or /tmp where that is too deep
// for socket addresses or closed to other users.
func baseDir() string {
	base := os.TempDir()
	if len(base)+len(dirPrefix) > socketRoom || !filepath.IsAbs(base) {
		return "/tmp"
	}
	for dir := base; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return "/tmp"
		}
	}
	return base
}

// processDir is the directory that belongs to this test process as a whole.
// It exists only while [Main] runs.
func processDir() string {
	return filepath.Join(baseDir(), dirPrefix+strconv.Itoa(os.Getpid()))
}

// sweep removes what test processes left that died without cleaning up.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(baseDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			os.RemoveAll(dir)
		}
	}
}
