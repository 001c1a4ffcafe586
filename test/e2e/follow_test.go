package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// logSite is a mail host whose Dovecot knows no auth_policy: saslguard reads what
// Postfix and Dovecot log, and Postfix asks it at CONNECT.
func logSite(t *testing.T, services string) *site {
	t.Helper()
	lab.Require(t)
	s := &site{
		T: t, bin: lab.Build(t), state: t.TempDir(),
		postfixAddr: fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		dovecotAddr: fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		adminAddr:   fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
	}
	s.dovecot = lab.StartDovecot(t, lab.DovecotOptions{Users: map[string]string{alice: right, bob: right, carol: right}})
	s.postfix = lab.StartPostfix(t, lab.PostfixOptions{
		SASLPath:           s.dovecot.SASLPath,
		ClientRestrictions: lab.PostfixService(t, s.postfixAddr, "submission"),
		HardErrorLimit:     100,
		Main:               "smtpd_soft_error_limit = 100",
	})
	s.args = []string{
		"--set", "maillog.files=" + filepath.Join(s.postfix.Dir, "mail.log") + "," + filepath.Join(s.dovecot.Dir, "dovecot.log"),
		"--set", "maillog.services=" + services,
	}
	s.startGuard()
	s.imap = s.dovecot.IMAPLogin(lab.NoMechanism)
	s.smtp = s.postfix.SMTPProxyLogin(lab.Plain)
	for _, source := range []string{"mail.log", "dovecot.log"} {
		s.waitFor(source)
	}
	return s
}

// Guesses that only a log tells of lead to the ban, and to the refusal at CONNECT;
// also those that were made while saslguard was down, and over a rotation.
func TestGuessesAreReadFromLogs(t *testing.T) {
	t.Parallel()
	s := logSite(t, "smtp,imap")
	guessAll := func(by lab.Login, client, user string, n int) {
		t.Helper()
		var all sync.WaitGroup // Dovecot answers each after its delay
		for _, password := range wrong(user, client, n) {
			all.Go(func() {
				if r, err := by(netip.MustParseAddr(client), user, password); err != nil || r.Accepted {
					t.Errorf("a guess: %+v %v", r, err)
				}
			})
		}
		all.Wait()
	}
	refused := func(client string) {
		t.Helper()
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			r := s.login(s.smtp, client, alice, right)
			if r.Stage == lab.StageGreeting && r.Code == 421 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not refused at CONNECT: %+v", client, r)
			}
		}
	}
	// By SMTP, with a rotation on the way: Postfix's log is renamed and made anew.
	guessAll(s.smtp, "203.0.113.1", alice, 5)
	log := filepath.Join(s.postfix.Dir, "mail.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.postfix.PID(), syscall.SIGHUP); err != nil { // postfix reload
		t.Fatal(err)
	}
	guessAll(s.smtp, "203.0.113.1", alice, 5)
	refused("203.0.113.1")

	// By IMAP, to the ban: a log's failures count as they come, so nothing stops
	// them before.
	guessAll(s.imap, "203.0.113.2", bob, 22)
	s.waitFor(`"prefix":"203.0.113.2/32"`)
	refused("203.0.113.2")
	s.mustEnter(s.smtp, home, alice)

	// While saslguard is down.
	if err := s.guard.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	guessAll(s.imap, "203.0.113.3", carol, 22)
	s.startGuard()
	s.waitFor(`"prefix":"203.0.113.3/32"`)
	refused("203.0.113.3")

	m := s.get("http://" + s.adminAddr + "/metrics")
	for _, want := range []string{
		`saslguard_maillog_attempts_total{outcome="failure",program="dovecot"} 22`, `saslguard_maillog_sources_unreadable 0`,
		`saslguard_maillog_lost_places_total 0`, `saslguard_maillog_skipped_total{why="reported"} 0`,
	} {
		if !strings.Contains(m, "\n"+want+"\n") {
			t.Errorf("the metrics lack %q:\n%s", want, grep(m, "saslguard_maillog"))
		}
	}
	if h := s.get("http://" + s.adminAddr + "/healthz"); !strings.Contains(h, `"maillog"`) {
		t.Errorf("health: %s", h)
	}
}

// What Dovecot reports is not counted again from the log, and it is said once.
func TestWhatIsReportedIsNotCountedFromTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := s.guard.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--set", "maillog.files=" + filepath.Join(s.dovecot.Dir, "dovecot.log"), "--set", "maillog.services=imap"}
	s.startGuard()
	s.waitFor("dovecot.log")
	// One is reported before: where Dovecot 2.4 has no failure delay, as in the lab, the
	// first line of the log may come before the first report.
	s.mustEnter(s.imap, home, carol)
	if n := s.guess(s.imap, bot, alice, 12); n != 10 {
		t.Errorf("%d guesses were verified, the rules allow 10", n)
	}
	s.waitFor("take it out of maillog.services")
	m := s.get("http://" + s.adminAddr + "/metrics")
	if !strings.Contains(m, `saslguard_maillog_attempts_total{outcome="failure",program="dovecot"} 0`) {
		t.Errorf("it is counted twice:\n%s", grep(m, "saslguard_maillog"))
	}
}

// A reload follows a log that is new; a wrong one is refused.
func TestReloadOfLogs(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "")
	proc := p.start(t)
	log := filepath.Join(t.TempDir(), "mail.log")
	hup := func(want string) {
		t.Helper()
		if err := proc.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, err := proc.WaitLine(want, 15*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	p.write(t, "maillog: {files: ["+log+"]}\n")
	hup("maillog.services")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.write(t, "maillog: {files: ["+log+"], services: [smtp]}\n")
	hup("following a log")
	stopped(t, proc)
}

// grep are the lines with a text.
func grep(text, with string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
