package follow

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a line may be like.
func TestLines(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, "")
	w.start()
	w.write(w.log, strings.TrimSuffix(w.next(1), "\n")+"\r\n\n\r\n\x00\x00"+w.next(1))
	w.complete()

	// The end of a line is awaited.
	text := w.next(1)
	w.write(w.log, text[:50])
	time.Sleep(50 * time.Millisecond)
	w.write(w.log, text[50:])
	w.complete()

	// A line that is too long is not cut: the part that is missing tells the client.
	long := strings.TrimSuffix(line(5_000_000), "\n") + strings.Repeat("x", 3*chunkSize)
	w.write(w.log, long[:chunkSize+7])
	time.Sleep(20 * time.Millisecond)
	w.write(w.log, long[chunkSize+7:]+"\n"+w.next(1))
	w.complete()
	w.write(w.log, strings.TrimSuffix(line(5_000_001), "\n")+strings.Repeat("y", maxLine)+"\n"+w.next(1))
	w.complete()
	if n := w.metric("long_lines_total", ""); n != 2 {
		t.Errorf("%v long lines are counted", n)
	}
	// A stop inside of one goes on inside of it.
	w.write(w.log, long[:chunkSize])
	time.Sleep(50 * time.Millisecond)
	w.restart()
	w.write(w.log, line(5_000_002)+w.next(1))
	w.complete()
}

// While the store does not answer, reading waits and nothing is lost, not even
// over a restart.
func TestTheStoreIsAway(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, "")
	w.start()
	fail := func(failing bool) { w.counts.mu.Lock(); defer w.counts.mu.Unlock(); w.counts.failing = failing }
	fail(true)
	w.write(w.log, w.next(500))
	w.eventually("it is tried", func() bool { return w.metric("store_errors_total", "") > 0 })
	if ok, detail := w.follower.Health(); ok || !strings.Contains(detail, "the store does not answer") {
		t.Errorf("health: %t %s", ok, detail)
	}
	w.stop()
	fail(false)
	w.start()
	w.complete()
	w.eventually("it is well", func() bool { ok, _ := w.follower.Health(); return ok })
}

// A file that may not be read is read from where it was once it may be; root may
// read everything, so it is somebody else who follows here.
func TestRightsAreLostAndRegained(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("it takes root to be somebody else")
	}
	w := newWorld(t)
	for _, dir := range []string{filepath.Dir(w.dir), w.dir, filepath.Dir(w.state)} {
		w.ok(os.Chmod(dir, 0o755))
	}
	w.ok(os.Chown(w.state, 65534, 65534))
	tallied := filepath.Join(w.state, "tally")
	w.write(w.log, "")
	w.ok(os.Chmod(w.log, 0o600))
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "FOLLOW_LOG="+w.log, "FOLLOW_STATE="+w.state, "FOLLOW_TALLY="+tallied)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	said := &lockedBuffer{}
	cmd.Stderr = said
	w.ok(cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", said.String())
		}
	}()
	counted := func(n int) func() bool {
		return func() bool { info, err := os.Stat(tallied); return err == nil && info.Size() == int64(n*tallyEntry) }
	}
	w.eventually("it is said", func() bool { return strings.Contains(said.String(), "permission denied") })
	w.write(w.log, w.next(3)) // new, though nobody can read it yet
	w.ok(os.Chmod(w.log, 0o644))
	w.eventually("it is read", counted(3))
	w.rename(w.log, w.log+".1")
	w.ok(os.WriteFile(w.log, []byte(w.next(3)), 0o600))
	w.write(w.log+".1", w.next(2))
	w.eventually("what was open is read on", counted(5))
	w.ok(os.Chmod(w.log, 0o644))
	w.eventually("the new file is read", counted(8))
}

// The lines of Dovecot's auth process do not say which service they are about.
func TestWhatAuthSaysIsNotCountedTwice(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, "")
	w.config.Services, w.config.DovecotLines = []string{"smtp", "other"}, "auth"
	w.counts.reported["imap"] = true
	w.start()
	w.write(w.log, stamp()+" mx dovecot: auth: passwd-file(a,192.0.2.9,<x>): Password mismatch\n"+
		stamp()+" mx roundcube: <x> IMAP Error: Login failed for b from 192.0.2.9.\n"+w.next(1))
	w.eventually("the others are counted", func() bool { return w.counts.total() == 2 })
	if got := w.metric("skipped_total", "reported"); got != 1 || w.counts.of["a"] != 0 {
		t.Errorf("%v were skipped because they are reported; counted is %v", got, w.counts.of)
	}
}

// Whose logins are counted is told by the configuration, and what Dovecot reports
// itself is not counted twice.
func TestServices(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, "")
	w.config.Services = []string{"smtp", "imap"}
	w.counts.reported["imap"] = true
	w.start()
	dovecot := func(service, user string) string {
		return fmt.Sprintf("%s mx dovecot: %s-login: Disconnected (auth failed, 3 attempts in 5 secs): user=<%s>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1, session=<x>\n", stamp(), service, user)
	}
	w.write(w.log, dovecot("imap", "a")+dovecot("pop3", "b")+dovecot("imap", "c")+
		strings.Replace(w.next(1), "postfix/smtpd", "postfix/submission/smtpd", 1))
	w.complete()
	for why, want := range map[string]float64{"service": 1, "reported": 2, "old": 0} {
		if got := w.metric("skipped_total", why); got != want {
			t.Errorf("%v were skipped because of %s, want %v", got, why, want)
		}
	}
	if n := w.logs.FilterMessageSnippet("take it out of maillog.services").Len(); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	c := w.config
	c.Services = []string{"pop3"}
	w.ok(w.follower.Reload(c))
	w.write(w.log, dovecot("pop3", "d")+line(7_000_000))
	w.eventually("it is counted", func() bool { return w.counts.total() == 2 })
	if a := w.counts.all[1]; a.Login != "d" || a.Count != 3 || a.ID == 0 {
		t.Errorf("counted is %+v", a)
	}
}

// Attempts are as old as their lines say, but never of the future.
func TestSince(t *testing.T) {
	w := newWorld(t)
	old := func(age time.Duration, n int) string {
		return string(appendLine(nil, time.Now().Add(-age).Format(time.RFC3339), n))
	}
	w.write(w.log, old(48*time.Hour, 9)+old(30*time.Minute, 1)+old(-time.Hour, 2))
	w.written = 2
	w.config.Since = time.Hour
	w.start()
	w.complete()
	if age := time.Since(w.counts.all[0].At); age < 29*time.Minute || age > 31*time.Minute {
		t.Errorf("an attempt of half an hour ago is %v old", age)
	}
	if age := time.Since(w.counts.all[1].At); age < 0 || age > time.Minute {
		t.Errorf("an attempt of the future is %v old", age)
	}
	if n := w.metric("skipped_total", "old"); n != 1 {
		t.Errorf("%v were too old", n)
	}
}

// A log of which nothing is understood is told of, once in a while and escaped.
func TestNotices(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, "")
	w.start()
	drifted := stamp() + " mx dovecot: imap-login: Login was aborted, password mismatch \x1b[31m\n"
	w.write(w.log, strings.Repeat(drifted, 50)+strings.Repeat("no line of a log\n", 250)+w.next(1))
	w.complete()
	for text, want := range map[string]string{"look like failed logins": `\x1b[31m`, "is it a mail log": "no line of a log"} {
		entries := w.logs.FilterMessageSnippet(text).All()
		if len(entries) != 1 || !strings.Contains(entries[0].ContextMap()["sample"].(string), want) {
			t.Errorf("%q is said %d times: %v", text, len(entries), entries)
		}
	}
	if n := w.metric("unknown_total", "dovecot"); n != 50 {
		t.Errorf("%v look-alikes are counted", n)
	}
	if n := w.metric("lines_total", "malformed"); n != 250 {
		t.Errorf("%v malformed lines are counted", n)
	}
}

// A reload takes files in and out; the others go on.
func TestReload(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(w.dir, "other.log")
	w.write(w.log, line(1_000_000))
	w.start()
	c := w.config
	c.Files = []string{w.log, other}
	w.ok(w.follower.Reload(c))
	w.write(w.log, w.next(2))
	w.complete()
	w.write(other, w.next(2)) // made after it was asked for: all of it is new
	w.complete()
	c.Timezone, c.Files = "UTC", []string{other}
	w.ok(w.follower.Reload(c))
	w.write(w.log, line(2_000_000))
	w.write(other, w.next(2))
	w.complete()
	c.Services = nil
	if err := w.follower.Reload(c); err == nil {
		t.Error("a wrong configuration is taken")
	}
	s, err := loadState(w.state)
	if err != nil || len(s.Files) != 1 || s.Files[other] == nil {
		t.Errorf("kept are %v (%v)", s, err)
	}
}

// A state that is garbled is set aside, and logs are followed from their ends.
func TestGarbledState(t *testing.T) {
	w := newWorld(t)
	w.ok(os.WriteFile(filepath.Join(w.state, stateFile), []byte(`{"version":1,"files":{"/x":null}}`), 0o600))
	w.write(w.log, line(1_000_000))
	w.start()
	if !w.said("the file was set aside") {
		t.Error("nobody is told")
	}
	w.write(w.log, w.next(1))
	w.complete()
	if aside, _ := filepath.Glob(filepath.Join(w.state, stateFile+".bad-*")); len(aside) != 1 {
		t.Error("the file is gone")
	}
}
