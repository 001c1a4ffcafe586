package lab

import (
	"cmp"
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

	// Logs are the logs to watch, by jail; the others have empty ones of their own.
	Logs map[string]string
	// Ban is a shell command that is run for each ban, with the address for <ip>. It
	// has to keep to a namespace.
	Ban string
}

// Fail2ban is a fail2ban-server that watches a log for each of its jails, with
// Debian's filters. Everything of it is in a directory of its own, and its bans are
// lines in files: by itself it has no action that could touch a
// firewall.
type Fail2ban struct {
	dir  string
	args []string // where it and its client find each other
	proc *Process
}

// Fail2banJails are the names of the jails, and their filters.
var Fail2banJails = map[string]string{
	"postfix":  "postfix[mode=auth]",
	"dovecot":  "dovecot",
	"sendmail": "sendmail-auth",
}

// The files of a fail2ban of the lab. Only the filters are the system's.
const (
	fail2banPath       = "/usr/bin/fail2ban-server"
	fail2banClientPath = "/usr/bin/fail2ban-client"
	fail2banFilters    = "/etc/fail2ban/filter.d"

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
	fail2banJail = `[%[1]s]
enabled = true
filter = %[2]s
backend = polling
usedns = no
logpath = %[3]s/%[1]s.log
maxretry = %[4]d
findtime = %[5]d
bantime = %[6]d
action = record
`
	fail2banAction = `[Definition]
actionstart =
actionstop =
actioncheck =
actionban = echo '<ip>' >> '%[1]s/<name>.bans'; %[2]s
actionunban =
`
)

// StartFail2ban runs a fail2ban until the test ends. When it returns, the logs are
// watched, and empty.
func StartFail2ban(t testing.TB, j Jail) *Fail2ban {
	t.Helper()
	Require(t, NeedFail2ban)
	dir := Dir(t)
	f := &Fail2ban{dir: dir}
	conf := filepath.Join(dir, "conf")
	var jails strings.Builder
	for name, filter := range Fail2banJails {
		fmt.Fprintf(&jails, fail2banJail, name, filter, dir, j.MaxRetry, int(j.FindTime.Seconds()), int(j.BanTime.Seconds()))
	}
	for name, text := range map[string]string{
		"fail2ban.conf":        fmt.Sprintf(fail2banConf, dir),
		"jail.conf":            jails.String(),
		"action.d/record.conf": fmt.Sprintf(fail2banAction, dir, cmp.Or(j.Ban, "true")),
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
	for name := range Fail2banJails {
		if theirs := j.Logs[name]; theirs != "" {
			if err := os.Symlink(theirs, f.log(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{f.log(name), f.bans(name)} {
			if exists(path) {
				continue
			}
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.args = []string{"-c", conf, "-s", filepath.Join(dir, "socket"), "-p", filepath.Join(dir, "pid")}
	f.proc = StartProcess(t, fail2banPath, append([]string{"-f"}, f.args...), nil)
	for name := range Fail2banJails {
		if _, err := f.proc.WaitLine("Jail '"+name+"' started", startWithin); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Client is the command line of its fail2ban-client, up to the command.
func (f *Fail2ban) Client() []string { return append([]string{fail2banClientPath}, f.args...) }

func (f *Fail2ban) log(jail string) string  { return filepath.Join(f.dir, jail+".log") }
func (f *Fail2ban) bans(jail string) string { return filepath.Join(f.dir, jail+".bans") }

// Append adds lines to the log of a jail, as a mail server does.
func (f *Fail2ban) Append(jail, lines string) error {
	file, err := os.OpenFile(f.log(jail), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(lines); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// Banned returns the addresses that a jail has banned, in that order.
func (f *Fail2ban) Banned(jail string) ([]string, error) {
	text, err := os.ReadFile(f.bans(jail))
	return strings.Fields(string(text)), err
}

// WaitBanned waits until a jail has banned an address.
func (f *Fail2ban) WaitBanned(jail, address string, timeout time.Duration) error {
	return eventually(timeout, func() error {
		banned, err := f.Banned(jail)
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
