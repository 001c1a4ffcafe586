package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Jail is what a fail2ban of the lab is told. Times have whole seconds.
type Jail struct {
	MaxRetry          int
	FindTime, BanTime time.Duration
}

// Fail2ban is a fail2ban-server that watches one log with Debian's filter for
// Postfix. Everything of it is in a directory of its own, and its bans are lines in
// a file: it has no action that could touch a firewall.
type Fail2ban struct {
	Log string // the log that it watches, empty at first

	dir  string
	bans string
	proc *Process
}

// The files of a fail2ban of the lab. Only the filters are the system's.
const (
	fail2banPath    = "/usr/bin/fail2ban-server"
	fail2banFilters = "/etc/fail2ban/filter.d"

	fail2banConf = `[Definition]
loglevel = INFO
allowipv6 = yes
logtarget = STDOUT
syslogsocket = auto
socket = %[1]s/socket
pidfile = %[1]s/pid
dbfile = %[1]s/fail2ban.sqlite3
dbpurgeage = 1d
`
	fail2banJail = `[postfix-sasl]
enabled = true
filter = postfix[mode=auth]
backend = polling
usedns = no
logpath = %[1]s/mail.log
maxretry = %[2]d
findtime = %[3]d
bantime = %[4]d
action = record
`
	fail2banAction = `[Definition]
actionstart =
actionstop =
actioncheck =
actionban = echo '<ip>' >> '%[1]s/bans'
actionunban =
`
)

// StartFail2ban runs a fail2ban until the test ends. When it returns, the log is
// watched.
func StartFail2ban(t testing.TB, j Jail) *Fail2ban {
	t.Helper()
	Require(t, NeedFail2ban)
	dir := Dir(t)
	f := &Fail2ban{Log: filepath.Join(dir, "mail.log"), dir: dir, bans: filepath.Join(dir, "bans")}
	conf := filepath.Join(dir, "conf")
	for name, text := range map[string]string{
		"fail2ban.conf":        fmt.Sprintf(fail2banConf, dir),
		"jail.conf":            fmt.Sprintf(fail2banJail, dir, j.MaxRetry, int(j.FindTime.Seconds()), int(j.BanTime.Seconds())),
		"action.d/record.conf": fmt.Sprintf(fail2banAction, dir),
	} {
		path := filepath.Join(conf, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(fail2banFilters, filepath.Join(conf, "filter.d")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{f.Log, f.bans} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f.proc = StartProcess(t, fail2banPath, []string{"-f", "-c", conf, "-s", filepath.Join(dir, "socket"), "-p", filepath.Join(dir, "pid")}, nil)
	if _, err := f.proc.WaitLine("Jail 'postfix-sasl' started", startWithin); err != nil {
		t.Fatal(err)
	}
	return f
}

// Append adds lines to the log, as a mail server does.
func (f *Fail2ban) Append(lines string) error {
	file, err := os.OpenFile(f.Log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(lines); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// Banned returns the addresses that were banned, in that order.
func (f *Fail2ban) Banned() ([]string, error) {
	text, err := os.ReadFile(f.bans)
	return strings.Fields(string(text)), err
}

// WaitBanned waits until an address is banned.
func (f *Fail2ban) WaitBanned(address string, timeout time.Duration) error {
	return eventually(timeout, func() error {
		banned, err := f.Banned()
		if err != nil {
			return err
		}
		for _, a := range banned {
			if a == address {
				return nil
			}
		}
		return fmt.Errorf("fail2ban has not banned %s; it says\n%s", address, f.proc.Output())
	})
}
