package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the package of the program under test.
const program = "github.com/saslguard/saslguard/cmd/saslguard"

// Build compiles the program under test and returns the path of the binary.
// Under [Main] it is built once for the test process; otherwise once for the
// test.
func Build(t testing.TB) string {
	t.Helper()
	bin, err := build(t, program)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func build(t testing.TB, pkg string) (string, error) {
	dir := processDir()
	if _, err := os.Stat(dir); err != nil {
		dir = t.TempDir()
	}
	bin := filepath.Join(dir, filepath.Base(pkg))
	// The lock is a file like what it guards: parallel tests build once, and
	// the package needs no variable to know.
	lock, err := openLock(bin + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return "", err
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released, and so built once for both
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}
