package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPackages builds once what all of them look at.
func TestPackages(t *testing.T) {
	b := build(t)
	t.Run("manual pages", func(t *testing.T) { testManual(t, b) })
	t.Run("dpkg", func(t *testing.T) { testDpkg(t, b) })
	t.Run("dpkg with systemd", func(t *testing.T) { testBooted(t, b) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, b) })
}

// testManual has mandoc read a page of every command.
func testManual(t *testing.T, b built) {
	require(t, "mandoc")
	pages, err := filepath.Glob(filepath.Join(b.dir, "stage/man/*.1.gz"))
	if err != nil || len(pages) < 30 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		// What it complains of, dates and tabs, is the style of go-md2man.
		if out, err := exec.Command("mandoc", "-Tlint", "-Wunsupp", page).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
	text := run(t, ".", nil, "mandoc", "-Tutf8", filepath.Join(b.dir, "stage/man/saslguard-ban.1.gz"))
	text = regexp.MustCompile(`.\x08`).ReplaceAllString(text, "")
	for _, want := range []string{"SYNOPSIS", "saslguard ban", "EXAMPLE", "saslguard " + b.version} {
		if !strings.Contains(text, want) {
			t.Errorf("saslguard-ban(1) lacks %q:\n%s", want, text)
		}
	}
}

const (
	// owned are modes and owners of what has to be closed to others.
	owned  = `stat -c '%a %U:%G %n' /etc/saslguard /etc/saslguard/conf.d /etc/saslguard/saslguard.yaml /var/lib/saslguard`
	closed = `750 root:saslguard /etc/saslguard
750 root:saslguard /etc/saslguard/conf.d
640 root:saslguard /etc/saslguard/saslguard.yaml
700 saslguard:saslguard /var/lib/saslguard`

	// serve runs what the unit runs, as the unit's user and with its directories, since
	// there is no systemd; halt ends it.
	serve = `install -d -m 750 -o saslguard -g saslguard /run/saslguard
STATE_DIRECTORY=/var/lib/saslguard RUNTIME_DIRECTORY=/run/saslguard setsid setpriv --reuid saslguard --regid saslguard --clear-groups --no-new-privs \
	--bounding-set=-all --inh-caps=-all /usr/bin/saslguard serve </dev/null >/run/serve.log 2>&1 &
echo $! >/run/serve.pid`
	serves = `saslguard health`
	halt   = `kill $(cat /run/serve.pid); timeout 20 sh -c 'until grep -q "\"msg\":\"stopped\"" /run/serve.log; do sleep 0.05; done'`
)

func testDpkg(t *testing.T, b built) {
	m := newMachine(t, b.dir)
	before := m.settings()

	// Without systemd, as in a container.
	out := m.run("dpkg -i /mnt/" + b.deb)
	if strings.Contains(out, "warning") || strings.Contains(out, "rror") {
		t.Errorf("dpkg -i says\n%s", out)
	}
	if now := m.settings(); now != before {
		t.Errorf("settings of others have changed:\n%s\nwere\n%s", now, before)
	}
	m.want(owned, closed)
	m.want("getent passwd saslguard | cut -d: -f5-", "saslguard:/var/lib/saslguard:/usr/sbin/nologin")
	m.want("pgrep -x saslguard || echo none runs", "none runs")
	m.want("saslguard config show | grep ^mode: | cut -d' ' -f1,2", "mode: observe")
	version := m.run("saslguard --version")
	if want := "saslguard " + b.version + " (" + b.commit[:12] + "), of " + b.date + ", go"; !strings.HasPrefix(version, want) {
		t.Errorf("--version says %q, want %q…", version, want)
	}
	if out := m.run("ldd /usr/bin/saslguard 2>&1 || true"); !strings.Contains(out, "not a dynamic executable") {
		t.Errorf("it is not static: %s", out)
	}
	m.want("cd /etc/systemd/system && ls sockets.target.wants/saslguard* multi-user.target.wants/saslguard*",
		"multi-user.target.wants/saslguard.service\nsockets.target.wants/saslguard-control.socket\nsockets.target.wants/saslguard-dovecot.socket\nsockets.target.wants/saslguard-postfix.socket")
	m.want("bash -c '. /usr/share/bash-completion/completions/saslguard && complete -p saslguard'", "complete -o default -F __start_saslguard saslguard")
	m.run("for f in /usr/share/doc/saslguard/examples/*/*; do test -s $f; done; man -w saslguard-serve || test -s /usr/share/man/man1/saslguard-serve.1.gz")

	// A configuration of the administrator's, a secret beside it, and state.
	m.run("sed -i 's/^mode: observe$/mode: enforce/' /etc/saslguard/saslguard.yaml && echo 'host: mx1' >/etc/saslguard/conf.d/host.yaml && systemctl --root=/ disable saslguard-postfix.socket")
	m.run(serve)
	m.eventually(serves)
	m.run("saslguard ban 203.0.113.7 --for 1h --reason upgrade")
	m.run(halt)

	// The upgrade has another default configuration; a changed one is kept.
	m.run("dpkg --force-confold -i /mnt/" + b.deb2)
	m.want("grep -c '^mode: enforce$' /etc/saslguard/saslguard.yaml; tail -1 /etc/saslguard/saslguard.yaml.dpkg-dist", "1\n"+laterDefault)
	m.want(owned, closed)
	m.want("test -e /etc/systemd/system/sockets.target.wants/saslguard-postfix.socket || echo still disabled", "still disabled")
	m.run(serve)
	m.eventually(serves)
	if out := m.run("saslguard bans"); !strings.Contains(out, "203.0.113.7") {
		t.Errorf("the ban is gone:\n%s", out)
	}
	m.run(halt)

	// Back again, by the file of the later one.
	if out := m.run("dpkg --force-confold -i /mnt/" + b.deb); !strings.Contains(out, "downgrading") {
		t.Errorf("dpkg does not say that it goes back:\n%s", out)
	}
	m.run(serve)
	m.eventually(serves)
	if out := m.run("saslguard bans; saslguard config show | grep ^mode:"); !strings.Contains(out, "203.0.113.7") || !strings.Contains(out, "enforce") {
		t.Errorf("after going back: %s", out)
	}
	m.run(halt)

	// A removed one comes back as it was; a purged one leaves what others wrote.
	m.run("dpkg -r saslguard && test ! -e /usr/bin/saslguard && test -s /var/lib/saslguard/saslguard.db && grep -q enforce /etc/saslguard/saslguard.yaml")
	m.run("dpkg -i /mnt/" + b.deb)
	m.want(owned, closed)
	m.run("grep -q '^mode: enforce$' /etc/saslguard/saslguard.yaml")
	m.run("dpkg -P saslguard && test ! -e /var/lib/saslguard && test ! -e /etc/saslguard/saslguard.yaml && test ! -e /lib/systemd/system/saslguard.service")
	m.want("find /etc/systemd /var/lib/systemd/deb-systemd-helper* -name '*saslguard*'", "")
	m.want("ls /etc/saslguard/conf.d", "host.yaml")
	if now := m.settings(); now != before {
		t.Errorf("after the purge settings of others have changed:\n%s\nwere\n%s", now, before)
	}

	// A default that nobody has changed is replaced, and stays closed.
	m.run("rm -r /etc/saslguard && dpkg -i /mnt/" + b.deb + " && dpkg -i /mnt/" + b.deb2)
	m.want("tail -1 /etc/saslguard/saslguard.yaml", laterDefault)
	m.want(owned, closed)
	m.run("dpkg -P saslguard")

	// With a systemd that must not start anything, and one that does not answer.
	m.run(`printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && mkdir -p /run/systemd/system`)
	if out := m.run("dpkg -i /mnt/" + b.deb); !strings.Contains(out, "policy-rc.d returned 101") {
		t.Errorf("policy-rc.d was not asked:\n%s", out)
	}
	m.run("rm /usr/sbin/policy-rc.d && dpkg -P saslguard && dpkg -i /mnt/" + b.deb + " && dpkg -i /mnt/" + b.deb2 + " && dpkg -P saslguard")
	if _, err := os.Stat("/etc/saslguard"); err == nil {
		t.Error("this machine has /etc/saslguard: the test has left its overlay")
	}
}

// testRPM does with rpm what testDpkg does with dpkg, on the same Debian: --nodeps, since
// nothing here is in the database of rpm.
func testRPM(t *testing.T, b built) {
	require(t, "rpm")
	if out := run(t, b.dir, nil, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{SUMMARY}", b.rpm); out != "saslguard 0.9.1 Stops password guessing at Postfix and Dovecot while it happens" {
		t.Errorf("rpm -qp says %q", out)
	}
	if out := run(t, b.dir, nil, "rpm", "-qpc", b.rpm); out != "/etc/saslguard/saslguard.yaml\n" {
		t.Errorf("configuration files are %q", out)
	}
	m := newMachine(t, b.dir)
	rpm := "rpm --nodeps "
	if _, err := m.try("rpm --force-debian --version"); err == nil { // without, Debian's older ones install nothing
		rpm += "--force-debian "
	}
	before := m.settings()
	if out := m.run(rpm + "-i /mnt/" + b.rpm); strings.Contains(out, "warning") {
		t.Errorf("rpm -i says\n%s", out)
	}
	if now := m.settings(); now != before {
		t.Errorf("settings of others have changed:\n%s\nwere\n%s", now, before)
	}
	m.want(owned, closed)
	m.want("rpm -V --nodeps saslguard", "")
	m.run("sed -i 's/^mode: observe$/mode: enforce/' /etc/saslguard/saslguard.yaml")
	m.run(serve)
	m.eventually(serves)
	m.run("saslguard ban 203.0.113.7 --for 1h --reason upgrade")
	m.run(halt)
	m.run(rpm + "-U /mnt/" + b.rpm2)
	m.want("grep -c '^mode: enforce$' /etc/saslguard/saslguard.yaml; tail -1 /etc/saslguard/saslguard.yaml.rpmnew", "1\n"+laterDefault)
	m.want(owned, closed)
	m.run(serve)
	m.eventually(serves)
	if out := m.run("saslguard bans"); !strings.Contains(out, "203.0.113.7") {
		t.Errorf("the ban is gone:\n%s", out)
	}
	m.run(halt)
	if out, err := m.try(rpm + "-U /mnt/" + b.rpm); err == nil || !strings.Contains(out, "newer") {
		t.Errorf("rpm goes back without --oldpackage: %s", out)
	}
	m.run(rpm + "-e saslguard && test ! -e /usr/bin/saslguard && test -s /var/lib/saslguard/saslguard.db && grep -q enforce /etc/saslguard/saslguard.yaml.rpmsave")
}
