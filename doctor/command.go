package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	commandTimeout = 10 * time.Second
	maxOutput      = 4 << 20 // octets; Dovecot's whole settings are 25 kB
	maxComplaint   = 16 << 10
)

// errNotInstalled says that a program is not on this machine.
var errNotInstalled = errors.New("is not installed here")

// find returns the path of a program: where it was said to be, else where
// systems put it, which a user's PATH may lack, else in PATH.
func find(said, name string) (string, error) {
	if said != "" {
		return said, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s %w", name, errNotInstalled)
	}
	return path, nil
}

// run runs a program that prints something, and returns what it printed and
// what it complained of. It is killed, with its children, when it takes too long
// or prints too much.
func run(ctx context.Context, path string, args ...string) (out, complaints string, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	stdout, stderr := &bounded{most: maxOutput, over: cancel}, &bounded{most: maxComplaint}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	name := filepath.Base(path)
	switch {
	case stdout.full:
		err = fmt.Errorf("%s printed more than %d MiB", name, maxOutput>>20)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%s did not end within %v", name, commandTimeout)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s %w", path, errNotInstalled)
	case err != nil:
		err = fmt.Errorf("%s: %w: %s", name, err, firstLine(stderr.String()))
	}
	return stdout.String(), stderr.String(), err
}

// bounded keeps the first octets written to it. What comes later is an end
// (over) or, without one, forgotten. It has no other method of a buffer's, since
// with ReadFrom it would be filled without Write.
type bounded struct {
	buffer bytes.Buffer
	most   int
	over   func()
	full   bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.buffer.Len(); len(p) > room {
		b.buffer.Write(p[:room])
		if b.over != nil && !b.full {
			b.over()
		}
		b.full = true
		return len(p), nil
	}
	return b.buffer.Write(p)
}

func (b *bounded) String() string { return b.buffer.String() }

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
