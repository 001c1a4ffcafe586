package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/pages"
)

// container boots an overlay of this machine with systemd as its first process, up to
// basic.target: of what is enabled here nothing is started. What is in share is at /mnt.
const container = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
rm -f "$1/root/usr/sbin/policy-rc.d" "$1/root/var/lib/man-db/auto-update"
echo 5d41402abc4b2a76b9719d911017c592 >"$1/root/etc/machine-id"
exec systemd-nspawn --quiet --directory="$1/root" --bind-ro="$2:/mnt" --machine=saslguard --boot --private-network \
	--register=no --keep-unit --console=pipe systemd.unit=basic.target fstab=no systemd.show_status=no
`

// bootMachine is newMachine with a systemd.
func bootMachine(t *testing.T, share string) *machine {
	t.Helper()
	require(t, "systemd-nspawn", "nsenter")
	if os.Geteuid() != 0 {
		t.Fatal("only root can boot a container: run it with sudo -E")
	}
	p := lab.StartProcess(t, "/usr/bin/unshare", []string{"--mount", "sh", "-c", container, "sh", lab.Dir(t), share}, nil)
	// Nothing else ends the container's first process, and with it all that is in there.
	t.Cleanup(func() {
		for _, pid := range children(p.PID()) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.Exited():
			t.Fatalf("systemd-nspawn has ended:\n%s", p.Output())
		default:
		}
		for _, pid := range children(p.PID()) {
			m := &machine{t, []string{"nsenter", "--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"}}
			if out, _ := m.try("systemctl is-system-running"); out == "running" || out == "degraded" {
				return m
			}
		}
	}
	t.Fatalf("the container does not boot:\n%s", p.Output())
	return nil
}

// children are the processes that a process has started.
func children(pid int) (all []int) {
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for _, child := range strings.Fields(string(list)) {
		if n, err := strconv.Atoi(child); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// TestByHand does in such a container what docs/install.md prints for one host, command
// by command, and then undoes it.
func TestByHand(t *testing.T) {
	require(t, "postfix", "dovecot")
	share := lab.Dir(t)
	run(t, "../..", []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", filepath.Join(share, "saslguard"), "./cmd/saslguard")
	m := bootMachine(t, share)
	m.run("systemctl start postfix dovecot")
	before := m.settings()

	printed := pages.Under(t, "docs/install.md", "One host")
	if len(printed) != 8 {
		t.Fatalf("there are %d examples", len(printed))
	}
	install, config, dovecot, postfix, doctor, firewall, enforce, undo := printed[0], printed[1], printed[2], printed[3], printed[4], printed[5], printed[6], printed[7]
	// It was built outside.
	built := strings.Replace(install, "go build ./cmd/saslguard\n", "cd /mnt\n", 1)
	if built == install {
		t.Fatalf("the first command is another:\n%s", install)
	}
	said := m.run("set -e\n" + built)
	if !strings.Contains(said, "ok") {
		t.Errorf("saslguard health says\n%s", said)
	}
	m.want("systemctl is-active saslguard saslguard-dovecot.socket saslguard-postfix.socket", "active\nactive\nactive")
	m.want("ps -o user= -p $(systemctl show -P MainPID saslguard)", "saslguard")
	m.want("stat -c '%a %U:%G %n' /run/saslguard /var/lib/saslguard /var/lib/saslguard/saslguard.db",
		"750 saslguard:saslguard /run/saslguard\n700 saslguard:saslguard /var/lib/saslguard\n600 saslguard:saslguard /var/lib/saslguard/saslguard.db")
	m.run("set -e\n" + config)
	m.run("set -e\n" + dovecot)
	services := m.run("set -e\n" + postfix)
	m.wire(services)
	m.run("doveadm auth test -x service=imap -x rip=203.0.113.9 nobody@example.org guess || true")
	m.eventually("saslguard explain 203.0.113.9 | grep nobody@example.org")
	// The example has no dovecot.api_key, which is told; nothing else is wrong.
	out, _ := m.try(strings.TrimSpace(doctor) + " || true")
	worse := regexp.MustCompile(`(?m)^(warning|error) .*`).FindAllString(out, -1)
	if len(worse) != 1 || !strings.Contains(worse[0], "dovecot.api_key") {
		t.Errorf("saslguard doctor says\n%s", out)
	}

	// It dies and comes back; the sockets are there all the time.
	m.run("kill -9 $(systemctl show -P MainPID saslguard)")
	m.eventually("saslguard health")
	m.want("systemctl show -P NRestarts saslguard", "1")

	if out := m.run("set -e\n" + firewall); !strings.Contains(out, "nftables") {
		t.Errorf("saslguard firewall status says\n%s", out)
	}
	m.run("cat >/etc/saslguard/saslguard.yaml <<'END'\n" + enforce + "END\nsystemctl reload saslguard saslguard-firewall")
	m.eventually("saslguard status | grep enforce")
	m.run("saslguard ban 203.0.113.66 --for 1h --reason boot")
	m.eventually("nft list ruleset | grep 203.0.113.66")
	m.want("systemctl is-failed saslguard saslguard-firewall postfix dovecot || true", "active\nactive\nactive\nactive")

	m.run("rm /etc/dovecot/conf.d/90-saslguard.conf && cp -a /run/postfix/master.cf /run/postfix/main.cf /etc/postfix/\n" + undo)
	m.want("systemctl is-active saslguard saslguard-firewall saslguard-dovecot.socket saslguard-postfix.socket || true", "inactive\ninactive\ninactive\ninactive")
	if now := m.settings(); now != before {
		t.Errorf("settings of others are not as they were:\n%s\nwere\n%s", now, before)
	}
}

// wire puts services that setup has printed into master.cf in place of those of the same
// names, but for TLS, of which this Postfix has none, and for what the reload said.
func (m *machine) wire(printed string) {
	m.Helper()
	_, services, ok := strings.Cut(printed, "For /etc/postfix/master.cf:")
	if !ok {
		m.Fatalf("nothing is for master.cf:\n%s", printed)
	}
	services = regexp.MustCompile(`(?m)^#.*\n|^  -o smtpd_tls_.*\n|^postfix/postlog: .*\n?`).ReplaceAllString(services[strings.Index(services, "\n")+1:], "")
	m.run("cp -a /etc/postfix /run/\npostconf -MX smtp/inet\ncat >>/etc/postfix/master.cf <<'END'\n" + services + "\nEND\n" +
		"postconf -e smtpd_sasl_type=dovecot && postfix check && postfix reload")
}

// testBooted installs, upgrades and removes the deb where systemd runs: the sockets answer
// all the time.
func testBooted(t *testing.T, b built) {
	m := bootMachine(t, b.dir)
	const units = "saslguard.service saslguard-postfix.socket saslguard-dovecot.socket saslguard-control.socket"
	m.run("dpkg -i /mnt/" + b.deb)
	m.want("systemctl is-active "+units, "active\nactive\nactive\nactive")
	m.want("systemctl is-enabled saslguard-firewall || true", "disabled")
	m.run("saslguard health && saslguard ban 203.0.113.7 --for 1h --reason upgrade")
	m.want("stat -c '%a %U:%G %n' /run/saslguard/control.sock", "660 saslguard:saslguard /run/saslguard/control.sock")

	// Somebody asks again and again, and is not answered late.
	m.run(`cat >/run/ask <<'END'
while [ ! -e /run/enough ]; do
	exec 3<>/dev/tcp/127.0.0.1/10035 || { echo refused; continue; }
	printf 'request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=203.0.113.9\npolicy_context=submission\n\n' >&3
	read -t 10 answer <&3 && echo "$answer" || echo none
	exec 3>&-
done
END
bash /run/ask >/run/answers 2>&1 &`)
	m.eventually("grep -q action=DUNNO /run/answers")
	pid := m.run("systemctl show -P MainPID saslguard")
	m.run("dpkg -i /mnt/" + b.deb2)
	m.eventually("saslguard health")
	if now := m.run("systemctl show -P MainPID saslguard"); now == pid {
		t.Error("the upgrade has not restarted it")
	}
	m.want("saslguard --version | cut -d' ' -f2", b.version) // the program is that of both
	m.run("systemctl restart saslguard && saslguard health && touch /run/enough")
	m.eventually("! pgrep -f '[b]ash /run/ask'")
	m.want("sort /run/answers | uniq -c | sed 's/^ *[0-9]* //'", "action=DUNNO")
	m.run("saslguard bans | grep 203.0.113.7")

	m.run("dpkg -r saslguard")
	m.want("systemctl is-active "+units+" || true", "inactive\ninactive\ninactive\ninactive")
	m.run("dpkg -P saslguard")
	m.want("ls -d /etc/saslguard /var/lib/saslguard 2>&1 | grep -c 'No such file'", "2")
	m.want("systemctl is-system-running || true", "running")
}
