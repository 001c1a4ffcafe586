package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostfixOptions says what a Postfix of the lab is like.
type PostfixOptions struct {
	// SASLPath is the Unix socket of Dovecot's SASL server. Without it there
	// is no AUTH.
	SASLPath string
	// CyrusSASL is the smtpd.conf of Cyrus SASL, which then checks passwords instead;
	// smtpd_sasl_type goes into Main.
	CyrusSASL string
	// ClientRestrictions is the smtpd_client_restrictions of both submission
	// services, asked at CONNECT:
	//
	//	check_policy_service { inet:127.0.0.1:9, timeout=3s, default_action=DUNNO, policy_context=submission }
	ClientRestrictions string
	// MXRestrictions is the smtpd_recipient_restrictions of the MX, asked at
	// RCPT.
	MXRestrictions string
	// HardErrorLimit is how many errors end a session; 0 is Postfix's own 20.
	// Postfix slows down after the tenth, unless smtpd_soft_error_limit is
	// raised in Main.
	HardErrorLimit int
	// Main and Master are lines added to main.cf and master.cf. In main.cf the
	// last setting of a name holds.
	Main, Master string
}

// Postfix is a running Postfix with a submission service, the same behind the
// PROXY protocol, and an MX that takes mail for lab.test without AUTH. Mail is
// queued and then discarded: the queue id in the 250 says it was accepted.
//
// Submission and MX believe XCLIENT. Nothing asks the DNS, and none of
// Postfix's own limits on clients is in force.
type Postfix struct {
	Submission, SubmissionProxy, MX netip.AddrPort

	Dir   string // configuration, queue, log
	Queue string // queue_directory

	proc *Process
}

// StartPostfix runs a Postfix until the test ends. When it returns, the MX
// greets and all ports are open. The policy server need not run yet.
func StartPostfix(t testing.TB, o PostfixOptions) *Postfix {
	t.Helper()
	Require(t, NeedPostfix)
	p := &Postfix{Dir: Dir(t)}
	p.Queue = filepath.Join(p.Dir, "queue")
	err := p.makeDirectories()
	if err == nil {
		err = onFreePorts(3, func(addrs []netip.AddrPort) error { return p.start(o, addrs) })
	}
	if err != nil {
		t.Fatalf("starting Postfix: %v\n%s", err, p.Log())
	}
	t.Cleanup(func() {
		if err := p.proc.end(); err != nil {
			t.Error(err)
		}
		logIfFailed(t, "Postfix", p.Log())
	})
	return p
}

func (p *Postfix) start(o PostfixOptions, addrs []netip.AddrPort) error {
	p.Submission, p.SubmissionProxy, p.MX = addrs[0], addrs[1], addrs[2]
	if err := p.writeConfig(o); err != nil {
		return err
	}
	os.Remove(p.logPath())
	// master itself and not "postfix start", which goes into the background. -d
	// keeps it in front, and in the group we gave it.
	args := []string{"-c", p.configDir(), "-d"}
	// The environment is what "postfix start" gives it; without, the reason why
	// it cannot start goes to syslog only.
	env := []string{"POSTLOG_SERVICE=" + filepath.Join(p.Queue, "public/postlog"), "POSTLOG_HOSTNAME=mx"}
	var err error
	if p.proc, err = startProcess(postfixMasterPath, args, env); err != nil {
		return err
	}
	if err := p.waitReady(); err != nil {
		err = errors.Join(err, p.proc.end())
		// Postfix 3.10 says why to syslog only.
		if strings.Contains(p.Log(), "Address already in use") || anyTaken(addrs) {
			return errPortTaken
		}
		return err
	}
	return nil
}

// waitReady waits until Postfix says it has started, which is when it has bound
// its ports, and then for the MX to greet with the name of our directory.
// Anybody else's greeting is a port taken: Postfix binds with SO_REUSEPORT, so
// that two of them share a port without a word. Submission is not tried, since
// its greeting asks the policy server.
func (p *Postfix) waitReady() error {
	if err := p.WaitLog("daemon started", startWithin); err != nil {
		return err
	}
	s, greeting, err := DialSMTP(p.MX, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if !strings.Contains(greeting.Text, filepath.Base(p.Dir)) {
		return errPortTaken
	}
	return nil
}

// Stop ends Postfix and all its processes.
func (p *Postfix) Stop() error { return p.proc.Stop(stopWithin) }

// Reload makes Postfix read its configuration again, as postfix reload does.
func (p *Postfix) Reload() error {
	const mark = "]: reload -- version"
	seen := strings.Count(p.Log(), mark)
	if err := p.proc.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reloading Postfix: %w", err)
	}
	return eventually(logWithin, func() error {
		if strings.Count(p.Log(), mark) > seen {
			return nil
		}
		return errors.New("Postfix does not say that it reloads")
	})
}

// PID is the process id of Postfix's master and its process group.
func (p *Postfix) PID() int { return p.proc.PID() }

// LogPath is the file of the log.
func (p *Postfix) LogPath() string { return p.logPath() }

// Log is what Postfix has logged. It is written by a process of Postfix's own,
// a moment after the fact: see WaitLog.
func (p *Postfix) Log() string {
	data, _ := os.ReadFile(p.logPath())
	if p.proc != nil {
		// What master says before it can log.
		data = append(data, p.proc.Output()...)
	}
	return string(data)
}

// WaitLog waits for a line with substr in the log, or one that is there
// already.
func (p *Postfix) WaitLog(substr string, timeout time.Duration) error {
	return waitLog("Postfix", p.proc, p.Log, substr, timeout)
}
