package follow

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// journald is a real systemd-journald with a /run of its own.
type journald struct {
	*testing.T
	dir string // its /run
	cmd *exec.Cmd
}

func startJournald(t *testing.T) *journald {
	t.Helper()
	const bin = "/lib/systemd/systemd-journald"
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v (Debian package systemd)", err)
	}
	j := &journald{T: t, dir: t.TempDir()}
	j.cmd = exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", `mount --bind "$1" /run && exec "$2"`, "journald", j.dir, bin)
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	j.cmd.Stderr = &said
	for _, d := range []string{"systemd/journal", "log/journal"} {
		if err := os.MkdirAll(filepath.Join(j.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = j.cmd.Wait()
		if t.Failed() {
			t.Logf("journald: %s", &said)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if j.send("postfix/master", "a line of before") == nil {
			return j
		}
		if time.Now().After(deadline) {
			t.Fatalf("journald does not listen; it needs root: %s", &said)
		}
	}
}

func (j *journald) directory() string { return filepath.Join(j.dir, "log/journal") }

// send logs as syslog(3) does.
func (j *journald) send(identifier, message string) error {
	c, err := net.Dial("unixgram", filepath.Join(j.dir, "systemd/journal/dev-log"))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "<22>%s %s[%d]: %s", time.Now().Format("Jan _2 15:04:05"), identifier, os.Getpid(), message)
	return err
}

// log has the next n attempts logged.
func (j *journald) log(w *world, n int) {
	j.Helper()
	for text := range strings.Lines(w.next(n)) {
		_, message, _ := strings.Cut(strings.TrimSpace(text), "]: ")
		w.ok(j.send("postfix/smtpd", message))
	}
}

// journalctls are the processes that a follower of this test has started.
func journalctls(t *testing.T) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		for _, field := range strings.Fields(string(b)) {
			comm, err := os.ReadFile("/proc/" + field + "/comm")
			if pid, _ := strconv.Atoi(field); err == nil && string(comm) == "journalctl\n" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func newJournalWorld(t *testing.T, directory string) *world {
	w := newWorld(t)
	w.config.Files = nil
	w.config.Journal = JournalConfig{Enabled: true, Identifiers: []string{"postfix/smtpd"}, Directory: directory}
	return w
}

// The journal is followed from its end, over restarts of saslguard, of journalctl
// and of the journal's files, without losing or doubling an entry.
func TestJournal(t *testing.T) {
	j := startJournald(t)
	w := newJournalWorld(t, j.directory())
	w.ok(j.send("postfix/smtpd", "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=before@example.org"))
	w.eventually("it is in the journal", func() bool {
		out, err := exec.Command("journalctl", "--directory="+j.directory(), "--output=cat").Output()
		return err == nil && strings.Contains(string(out), "before@example.org")
	})
	w.start()
	w.eventually("there is a cursor", func() bool { return w.follower.gather().Journal != nil })
	j.log(w, 50)
	w.complete()

	w.stop()
	if left := journalctls(t); len(left) > 0 {
		t.Errorf("after a stop journalctl runs on: %v", left)
	}
	j.log(w, 50)
	w.start()
	w.complete()

	// It is killed, and entries come while it is not there.
	for _, pid := range journalctls(t) {
		w.ok(syscall.Kill(pid, syscall.SIGKILL))
	}
	j.log(w, 50)
	w.complete()
	if n := w.metric("journalctl_exits_total", ""); n != 1 {
		t.Errorf("%v exits are counted", n)
	}

	w.ok(j.cmd.Process.Signal(syscall.SIGUSR2)) // a rotation
	time.Sleep(200 * time.Millisecond)
	j.log(w, 50)
	w.complete()

	// What is no text, what is too long, and what is somebody else's.
	w.ok(j.send("postfix/smtpd", "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: \xff\xfe, sasl_username=raw@example.org"))
	w.ok(j.send("postfix/smtpd", "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: "+strings.Repeat("x", 30_000)))
	w.ok(j.send("dovecot", "imap-login: Disconnected (auth failed, 1 attempts): user=<other>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1"))
	w.eventually("bytes are read", func() bool {
		w.counts.mu.Lock()
		defer w.counts.mu.Unlock()
		return w.counts.of["raw@example.org"] == 1
	})
	delete(w.counts.of, "raw@example.org")
	j.log(w, 1)
	w.eventually("one more", func() bool { w.counts.mu.Lock(); defer w.counts.mu.Unlock(); return w.counts.of[login(w.written)] == 1 })
	if w.counts.of["other"] != 0 || w.counts.of["before@example.org"] != 0 {
		t.Errorf("counted are %v", w.counts.of)
	}
	if ok, detail := w.follower.Health(); !ok {
		t.Errorf("health: %s", detail)
	}
}

// A journal that cannot be read makes the health degraded, with journalctl's own
// words, and nobody runs in circles.
func TestJournalThatIsNotThere(t *testing.T) {
	w := newJournalWorld(t, filepath.Join(t.TempDir(), "none"))
	began := time.Now()
	w.start()
	w.eventually("degraded", func() bool {
		ok, detail := w.follower.Health()
		return !ok && strings.Contains(detail, "No such file")
	})
	time.Sleep(1500 * time.Millisecond)
	if n := w.metric("journalctl_exits_total", ""); n > 1+time.Since(began).Seconds() {
		t.Errorf("it was started %v times in %v", n, time.Since(began))
	}
}

// Units are told by the journal itself; systemd-journal-remote writes a journal
// that has some.
func TestJournalUnits(t *testing.T) {
	dir := t.TempDir()
	w := newJournalWorld(t, dir)
	w.config.Journal.Units, w.config.Journal.Identifiers = []string{"postfix@-.service"}, []string{"submit"}
	w.config.Since = time.Hour
	entry := func(unit, identifier, message string, at int) string {
		micros := time.Now().Add(time.Duration(at-50) * time.Second).UnixMicro()
		return fmt.Sprintf("__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=9154532472784733b2abef2db645b30d\n_SYSTEMD_UNIT=%s\nSYSLOG_IDENTIFIER=%s\n_HOSTNAME=mx\n_PID=7\nMESSAGE=%s\n\n",
			micros, at*1_000_000, unit, identifier, message)
	}
	failed := func(user string) string {
		return "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=" + user
	}
	cmd := exec.Command("/lib/systemd/systemd-journal-remote", "--output="+filepath.Join(dir, "mx.journal"), "-")
	cmd.Stdin = strings.NewReader(entry("postfix@-.service", "postfix/smtpd", failed("unit"), 1) +
		entry("user@1000.service", "postfix/smtpd", failed("forged"), 2) +
		entry("cron.service", "submit", "a line of somebody else", 3))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemd-journal-remote (Debian package of that name): %v\n%s", err, out)
	}
	w.start()
	w.eventually("it is counted", func() bool { return w.counts.total() == 1 && w.metric("lines_total", "other") == 1 })
	if w.counts.of["unit"] != 1 {
		t.Errorf("counted are %v", w.counts.of)
	}
}
