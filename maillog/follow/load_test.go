package follow

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
)

// TestMain lets the test binary be the program that is killed: see helper.
func TestMain(m *testing.M) {
	if log := os.Getenv("FOLLOW_LOG"); log != "" {
		if err := helper(log, os.Getenv("FOLLOW_STATE"), os.Getenv("FOLLOW_TALLY")); err != nil {
			fmt.Fprintln(os.Stderr, "helper:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// helper follows a log until SIGTERM, and appends what it counts to a file: what
// is written there outlives a process that is killed.
func helper(log, state, tallied string) error {
	f, err := os.OpenFile(tallied, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	logger, err := zap.NewProduction()
	if err != nil {
		return err
	}
	follower, err := New(testConfig(log), Options{Judge: tally{f}, Directory: state, Logger: logger})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return follower.Run(ctx)
}

// tally is a Judge that writes down the number and the ID of every attempt.
type tally struct{ io.Writer }

const tallyEntry = 12

func (t tally) Apply(_ context.Context, as []guard.Attempt, _ []guard.Verdict) error {
	var b []byte
	for _, a := range as {
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(a.Login, "user"), "@example.org"), 10, 32)
		if err != nil {
			return err
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		b = binary.LittleEndian.AppendUint64(b, a.ID)
	}
	_, err := t.Write(b)
	return err
}

func (tally) Reported(string, time.Time) bool { return false }

// runs are helpers one after the other, each stopped by a signal.
type runs struct {
	*testing.T
	bin, log, state, tally string
	starts                 int

	ids                    []uint64 // of the lines that were counted
	read                   int64    // of the tally
	counted, again, differ int      // lines; further times under the same ID; under another
}

func newRuns(t *testing.T, bin string) *runs {
	t.Helper()
	dir := t.TempDir()
	return &runs{T: t, bin: bin, log: filepath.Join(dir, "mail.log"), state: t.TempDir(), tally: filepath.Join(dir, "tally")}
}

// run runs a helper for a while and ends it by a signal.
func (r *runs) run(wait func() bool, sig os.Signal) {
	r.Helper()
	r.starts++
	cmd := exec.Command(r.bin)
	cmd.Env = append(os.Environ(), "FOLLOW_LOG="+r.log, "FOLLOW_STATE="+r.state, "FOLLOW_TALLY="+r.tally)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	deadline := time.Now().Add(time.Duration(50+rand.IntN(1450)) * time.Millisecond)
	for time.Now().Before(deadline) && !wait() {
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		r.Fatalf("the helper has ended by itself: %v\n%s", err, &said)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL; err != nil && !(killed && sig == syscall.SIGKILL) {
		r.Fatalf("the helper ends with %v\n%s", err, &said)
	}
	if bytes.Contains(said.Bytes(), []byte("missing")) {
		r.Errorf("something is said to be missing: %s", &said)
	}
}

// update reads what has been added to the tally.
func (r *runs) update() {
	r.Helper()
	f, err := os.Open(r.tally)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, r.read, 1<<40))
	if err != nil {
		r.Fatal(err)
	}
	for ; len(b) >= tallyEntry; b = b[tallyEntry:] {
		n, id := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
		if n < 1 || int(n) > len(r.ids) {
			r.Fatalf("line %d was never written", n)
		}
		switch before := r.ids[n-1]; {
		case before == 0:
			r.counted++
			r.ids[n-1] = id
		case before == id:
			r.again++
		default:
			r.differ++
		}
		r.read += tallyEntry
	}
}

// writeRotating writes lines as a program does that never waits, and rotates the
// log after each so many of them. The old file gets some lines more, as by a
// syslog that is told late.
func (r *runs) writeRotating(lines, each int) {
	const chunk = 200
	w := &world{T: r.T}
	f, err := os.Create(r.log)
	for n := 0; n < lines && err == nil; n += chunk {
		if n%each == 0 && n > 0 {
			r.shift(lines / each)
			_, err = f.WriteString(w.next(chunk))
			n += chunk
			f.Close()
			if err == nil {
				f, err = os.Create(r.log)
			}
		}
		if err == nil {
			_, err = f.WriteString(w.next(chunk))
		}
	}
	if err != nil {
		r.Error(err)
		return
	}
	f.Close()
}

// shift renames the log and its older parts as logrotate does.
func (r *runs) shift(most int) {
	for n := most; n >= 1; n-- {
		_ = os.Rename(r.log+"."+strconv.Itoa(n), r.log+"."+strconv.Itoa(n+1)) // not there yet
	}
	if err := os.Rename(r.log, r.log+".1"); err != nil {
		r.Error(err)
	}
}

// follow has helpers follow a log of so many lines, each until a signal ends it,
// until all lines were counted.
func (r *runs) follow(lines int, sig os.Signal) {
	r.Helper()
	const each = 20_000
	began := time.Now()
	r.ids = make([]uint64, lines)
	r.run(func() bool { return false }, syscall.SIGTERM) // from now on, nothing is old
	written := make(chan struct{})
	go func() { defer close(written); r.writeRotating(lines, each) }()
	complete := func() bool { r.update(); return r.counted == lines }
	for end := began.Add(3 * time.Minute); !complete() && time.Now().Before(end); {
		r.run(complete, sig)
	}
	<-written
	r.run(func() bool { return false }, syscall.SIGTERM) // and nothing comes twice
	r.update()
	r.Logf("%d lines, %d rotations, %d starts, %v: %d lost, %d read again, %d under another ID: %v",
		lines, lines/each-1, r.starts, sig, lines-r.counted, r.again, r.differ, time.Since(began).Round(time.Millisecond))
	// The first start and the last one read nothing new; how many are between depends
	// on the machine.
	if r.counted < lines || r.differ > 0 || r.starts < 3 {
		r.Fail()
	}
}

// Under load, with stops at any moment. The helper is built without the race
// detector, whatever the test has: a million lines are to be read in little time.
func TestUnderLoad(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "helper")
	if out, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the helper: %v\n%s", err, out)
	}
	// Over fifty rotations none is lost and none is doubled.
	t.Run("a million lines", func(t *testing.T) {
		r := newRuns(t, bin)
		r.follow(1_000_000, syscall.SIGTERM)
		if r.again > 0 {
			t.Errorf("%d lines were counted twice", r.again)
		}
	})
	// None is lost, and what is read again has the same ID, so that it counts once.
	t.Run("killed", func(t *testing.T) { newRuns(t, bin).follow(300_000, syscall.SIGKILL) })
}
