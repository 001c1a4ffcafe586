package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How long servers may take. Far more than they need, so that a busy machine
// is not a failure.
const (
	startWithin = 20 * time.Second
	stopWithin  = 10 * time.Second
	logWithin   = 10 * time.Second
)

// DovecotOptions says what a Dovecot of the lab is like.
type DovecotOptions struct {
	// Users and their passwords. They are stored as plain text, so that every
	// mechanism can check them.
	Users map[string]string
	// FailureDelay is Dovecot's auth_failure_delay, in whole seconds; Dovecot
	// itself would take 2 s. Without it failures still wait for the next tick
	// of a half-second clock in Dovecot.
	FailureDelay time.Duration
	// AtOnce has failed passwords of the users answered without any wait, as the
	// passdb's nodelay does.
	AtOnce bool
	// SASLPath is where Postfix finds the SASL server; by default a socket in
	// the directory of this Dovecot.
	SASLPath string
	// Extra is configuration text that comes last and so overrides the lab's:
	// the auth_policy settings. Leave the debug settings alone; Verified needs
	// them.
	Extra string
}

// Dovecot is a running Dovecot 2.3 or 2.4 with IMAP, POP3 and a SASL server for
// Postfix. Its own authentication penalty is off, or it would refuse before
// any policy server is asked.
type Dovecot struct {
	IMAP, POP3           netip.AddrPort // as mail clients know them
	IMAPProxy, POP3Proxy netip.AddrPort // these want a PROXY header first
	SASLPath             string         // Unix socket for smtpd_sasl_path
	Dir                  string         // configuration, log, mail

	proc *Process
}

// Dovecot24 tells whether the Dovecot that is installed is a 2.4.
func Dovecot24() bool { return strings.HasPrefix(dovecotVersion(), "2.4.") }

func dovecotVersion() string {
	out, _ := exec.Command(dovecotPath, "--version").Output() // without one, Require says so
	return strings.TrimSpace(string(out))
}

// StartDovecot runs a Dovecot until the test ends. When it returns, logins are
// answered.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	Require(t, NeedDovecot)
	d := &Dovecot{Dir: Dir(t), SASLPath: o.SASLPath}
	if d.SASLPath == "" {
		d.SASLPath = filepath.Join(d.Dir, "sasl")
	}
	err := onFreePorts(4, func(addrs []netip.AddrPort) error { return d.start(o, addrs) })
	if err != nil {
		t.Fatalf("starting Dovecot: %v\n%s", err, d.Log())
	}
	t.Cleanup(func() {
		if err := d.proc.end(); err != nil {
			t.Error(err)
		}
		logIfFailed(t, "Dovecot", d.Log())
	})
	return d
}

func (d *Dovecot) start(o DovecotOptions, addrs []netip.AddrPort) error {
	d.IMAP, d.POP3, d.IMAPProxy, d.POP3Proxy = addrs[0], addrs[1], addrs[2], addrs[3]
	if err := d.writeConfig(o); err != nil {
		return err
	}
	os.Remove(d.logPath())
	var err error
	if d.proc, err = startProcess(dovecotPath, []string{"-F", "-c", d.configPath()}, nil); err != nil {
		return err
	}
	// Dovecot says it starts once all its ports are bound, and ends if one of
	// them cannot be.
	if err := d.WaitLog("starting up for", startWithin); err != nil {
		err = errors.Join(err, d.proc.end())
		if strings.Contains(d.proc.Output(), "Address already in use") {
			return errPortTaken
		}
		return err
	}
	return nil
}

// Stop ends Dovecot and all its processes in an orderly way, which takes it a
// second. At the end of a test they are killed: nothing of theirs is kept.
func (d *Dovecot) Stop() error { return d.proc.Stop(stopWithin) }

// Reload makes Dovecot read its configuration again and replace its
// processes, as doveadm reload does. Sessions go on in the old ones.
func (d *Dovecot) Reload() error {
	seen := d.count("SIGHUP received")
	if err := d.proc.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reloading Dovecot: %w", err)
	}
	return eventually(logWithin, func() error {
		if d.count("SIGHUP received") == seen {
			return errors.New("Dovecot does not say that it reloads")
		}
		return d.greet()
	})
}

// greet returns when Dovecot's master has answered: it says that it reloads
// before it does, does nothing else meanwhile, and a login in between fails.
func (d *Dovecot) greet() error {
	conn, err := net.Dial("unix", filepath.Join(d.Dir, "run", "master"))
	if err != nil {
		return fmt.Errorf("asking Dovecot's master: %w", err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(logWithin))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("asking Dovecot's master: %w", err)
	}
	return nil
}

// PID is the process id of Dovecot's master and its process group.
func (d *Dovecot) PID() int { return d.proc.PID() }
