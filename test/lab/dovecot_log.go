package lab

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// LogPath is the file of the log.
func (d *Dovecot) LogPath() string { return d.logPath() }

// Log is what Dovecot has logged, and what it said before it had a log. A line
// may reach it a moment after the client has its answer; Verified does not
// miss it.
func (d *Dovecot) Log() string {
	data, err := os.ReadFile(d.logPath())
	if err != nil || len(data) == 0 {
		if d.proc != nil {
			return d.proc.Output()
		}
	}
	return string(data)
}

// WaitLog waits for a line with substr in the log, or one that is there
// already.
func (d *Dovecot) WaitLog(substr string, timeout time.Duration) error {
	return waitLog("Dovecot", d.proc, d.Log, substr, timeout)
}

// Verified counts how often the password database was asked for the user, ""
// for all users: the guesses an attacker got an answer to. An attempt that the
// policy server refused before authentication is not among them; one for an
// account that does not exist is, though there was nothing to compare.
//
// It is read from the lookups in Dovecot's debug log: the same for every
// mechanism, and nothing in the way of the attempt that is being measured.
func (d *Dovecot) Verified(t testing.TB, user string) int {
	t.Helper()
	return d.VerifiedWhere(t, func(u, _ string) bool { return user == "" || u == user })
}

// VerifiedWhere is Verified of the users and clients that are asked for.
func (d *Dovecot) VerifiedWhere(t testing.TB, want func(user, client string) bool) int {
	t.Helper()
	if err := d.flushLog(); err != nil {
		t.Fatalf("counting verified passwords: %v", err)
	}
	n := 0
	for line := range strings.Lines(d.Log()) {
		if user, client, ok := lookedUp(line); ok && want(user, client) {
			n++
		}
	}
	return n
}

// lookedUp reads the line that ends a look into the password database.
func lookedUp(line string) (user, client string, ok bool) {
	// 2.3: auth: Debug: passwd-file(user,client,<session>): Finished passdb lookup. Postfix
	// has no session.
	_, who, found := strings.Cut(line, "auth: Debug: passwd-file(")
	who, _, finished := strings.Cut(who, "): Finished passdb lookup")
	if found && finished {
		who, _, _ = strings.Cut(who, ",<")
	} else {
		// 2.4: auth(user,client,sasl:plain)<session>: Debug: passwd-file: Finished passdb lookup
		_, who, found = strings.Cut(line, " auth(")
		who, _, finished = strings.Cut(who, ": Debug: passwd-file: Finished passdb lookup")
		if !found || !finished {
			return "", "", false
		}
		who = who[:max(0, strings.LastIndex(who, ",sasl:"))]
	}
	i := strings.LastIndexByte(who, ',')
	if i < 0 {
		return "", "", false
	}
	return who[:i], who[i+1:], true
}

// flushLog returns when everything the auth process had to log is in the log.
// It asks that process for a user nobody else asks for and waits until the
// question is logged: the lines of one service keep their order. It needs no
// policy server, since lookups of users are not authentications.
func (d *Dovecot) flushLog() error {
	conn, err := net.Dial("unix", filepath.Join(d.Dir, "run", "auth-userdb"))
	if err != nil {
		return fmt.Errorf("asking Dovecot's auth process: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(logWithin))
	mark := fmt.Sprintf("lab-flush-%016x", rand.Uint64())
	if _, err := fmt.Fprintf(conn, "VERSION\t1\t1\nUSER\t1\t%s\tservice=lab\n", mark); err != nil {
		return fmt.Errorf("asking Dovecot's auth process: %w", err)
	}
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("Dovecot's auth process did not answer: %w", err)
		}
		if strings.Contains(line, "\t1\t"+mark) {
			break
		}
	}
	return d.WaitLog(mark, logWithin)
}

// count counts the lines of the log with substr.
func (d *Dovecot) count(substr string) int { return strings.Count(d.Log(), substr) }

// waitLog waits for substr in a log, no longer than its server lives.
func waitLog(name string, p *Process, log func() string, substr string, timeout time.Duration) error {
	missing := errors.New("not yet")
	err := eventually(timeout, func() error {
		ended := false
		select {
		case <-p.Exited():
			ended = true
		default:
		}
		if strings.Contains(log(), substr) {
			return nil
		}
		if ended {
			return errFinal{fmt.Errorf("%s ended (exit code %d) without logging %q", name, p.ExitCode(), substr)}
		}
		return missing
	})
	if errors.Is(err, missing) {
		return fmt.Errorf("%s did not log %q within %v", name, substr, timeout)
	}
	return err
}
