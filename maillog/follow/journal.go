package follow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/maillog"
)

const (
	maxEntry     = 1 << 20         // bytes of an entry as JSON, where each of MESSAGE may take six
	maxComplaint = 20              // lines that a journalctl may add to the log
	settled      = 3 * time.Second // after which a journalctl that runs is well
	longRun      = time.Minute     // after which another start is no repetition
	mostWait     = time.Minute     // between two starts
	killTime     = 5 * time.Second // for journalctl to be gone
	cursorTime   = 20 * time.Second
)

// fields are what the parser reads of an entry; __CURSOR and
// __REALTIME_TIMESTAMP are always there.
const fields = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM,_HOSTNAME"

// journal follows the systemd journal by journalctl(1), whose output is stable and
// which, other than the library for it, needs no C.
type journal struct {
	*shared
	config JournalConfig
	since  time.Duration
	feed   *feed

	mu      sync.Mutex
	memory  *journalLog // nil: nothing yet
	trouble string
	busy    time.Time // since when entries wait to be counted; zero: none does
}

type followingJournal struct {
	*journal
	stop func()
}

func newJournal(s *shared, c JournalConfig, since time.Duration, how maillog.Options, saved *journalLog) *journal {
	j := &journal{shared: s, config: c, since: since, feed: newFeed(s, "journal", how), memory: saved}
	if saved != nil {
		j.feed.latest = saved.Latest
	}
	return j
}

// run follows the journal until ctx ends. journalctl is started anew when it
// ends, after a pause that grows while it does not get on.
func (j *journal) run(ctx context.Context) {
	// The kernel sends a child's death signal when the thread that started it
	// ends: this one stays as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for pause := time.Second; ; pause = min(2*pause, mostWait) {
		began := time.Now()
		err := j.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longRun {
			pause = time.Second
		}
		j.metrics.restarts.Inc()
		j.setTrouble(err.Error())
		j.log.Warn("the journal cannot be followed; journalctl is started anew", zap.Error(err), zap.Duration("pause", pause))
		if !sleep(ctx, pause) {
			return
		}
	}
}

// follow runs one journalctl until it ends or ctx does. It never returns nil.
func (j *journal) follow(ctx context.Context) error {
	if err := j.begin(ctx); err != nil {
		return err
	}
	cmd := j.command(ctx, append([]string{"--follow", "--no-tail"}, j.matches()...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said := &complaints{log: j.log}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return err
	}
	runs := time.AfterFunc(settled, func() { j.setTrouble("") })
	err = j.read(ctx, out)
	runs.Stop()
	killErr := cmd.Cancel()
	if errors.Is(killErr, syscall.ESRCH) {
		killErr = nil // it has ended by itself
	}
	waitErr := cmd.Wait()
	said.flush()
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case said.last != "":
		return fmt.Errorf("journalctl: %s", said.last)
	case killErr != nil:
		return fmt.Errorf("ending journalctl: %w", killErr)
	}
	return fmt.Errorf("journalctl ended: %v", waitErr)
}

// command is a journalctl that goes with us: when ctx ends, and when we die.
func (j *journal) command(ctx context.Context, args ...string) *exec.Cmd {
	all := []string{"--output=json", "--output-fields=" + fields, "--no-pager", "--all"}
	if j.config.Directory != "" {
		all = append(all, "--directory="+j.config.Directory)
	}
	if c := j.remembered(); c != nil {
		all = append(all, "--after-cursor="+c.Cursor)
	}
	cmd := exec.CommandContext(ctx, "journalctl", append(all, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killTime
	return cmd
}

// matches are the units and identifiers of which entries are wanted: journalctl
// joins matches of one field by "or", and what stands beside a + too.
func (j *journal) matches() []string {
	var m []string
	for _, u := range j.config.Units {
		m = append(m, "_SYSTEMD_UNIT="+u)
	}
	if len(j.config.Units) > 0 && len(j.config.Identifiers) > 0 {
		m = append(m, "+")
	}
	for _, id := range j.config.Identifiers {
		m = append(m, "SYSLOG_IDENTIFIER="+id)
	}
	return m
}

// begin takes the end of the journal for the place, at the very first time. It is
// that of all units: what comes after is new, even if we are restarted before one
// of ours has said anything.
func (j *journal) begin(ctx context.Context) error {
	if j.remembered() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cursorTime)
	defer cancel()
	args := []string{"--lines=1"}
	if j.since > 0 {
		args = []string{"--lines=1", "--until=@" + strconv.FormatInt(j.now().Add(-j.since).Unix(), 10)}
	}
	said := &complaints{log: j.log}
	cmd := j.command(ctx, args...)
	cmd.Stderr = said
	out, err := cmd.Output()
	said.flush()
	if err != nil {
		if said.last != "" {
			err = errors.New(said.last)
		}
		return fmt.Errorf("journalctl: %w", err)
	}
	if cursor, ok := cursorOf(out); ok {
		j.remember(&journalLog{Cursor: cursor, Latest: j.now()})
	}
	j.hasBegun()
	j.log.Info("following the journal", zap.Strings("units", j.config.Units), zap.Strings("identifiers", j.config.Identifiers))
	return nil // an empty journal is read from its beginning
}

// read has the entries of a journalctl counted until it ends, which is io.EOF, or ctx
// does. It never returns nil.
func (j *journal) read(ctx context.Context, out io.Reader) error {
	r := bufio.NewReaderSize(out, maxEntry)
	var cursor string
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			j.metrics.long.Inc()
			if err = skipLine(r); err != nil {
				return err
			}
			continue
		case err != nil:
			return err // what has no newline is not whole
		}
		j.setBusy()
		j.metrics.bytes.Add(float64(len(line)))
		j.feed.line(line[:len(line)-1], 0)
		if c, ok := cursorOf(line); ok {
			cursor = c
		}
		if !j.feed.full() && r.Buffered() > 0 {
			continue
		}
		if err := j.feed.flush(ctx); err != nil {
			j.feed.drop()
			return err
		}
		if cursor != "" {
			j.remember(&journalLog{Cursor: cursor, Latest: j.feed.latest})
		}
		j.setIdle(r.Buffered() == 0)
	}
}

// skipLine skips the rest of a line.
func skipLine(r *bufio.Reader) error {
	for {
		_, err := r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// cursorOf returns the cursor of an entry. Journald lets nobody set fields that
// begin with an underscore.
func cursorOf(entry []byte) (string, bool) {
	var e struct {
		Cursor string `json:"__CURSOR"`
	}
	if json.Unmarshal(entry, &e) != nil || !isCursor(e.Cursor) {
		return "", false
	}
	return e.Cursor, true
}
