package packages

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// needed are the programs of these tests and the Debian packages that have them.
var needed = map[string]string{
	"dpkg": "dpkg", "rpm": "rpm", "mandoc": "mandoc", "make": "make", "unshare": "util-linux", "ip": "iproute2",
	"systemd-nspawn": "systemd-container", "postfix": "postfix", "dovecot": "dovecot-core",
	"systemd-analyze": "systemd", "systemd-socket-activate": "systemd", "setpriv": "util-linux",
}

// require fails a test when a program is missing.
func require(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: apt-get install --no-install-recommends %s", p, needed[p])
		}
	}
}

// machine is an overlay of this one: what is installed there is not installed here. It
// has processes and a network of its own, and ends with the test.
type machine struct {
	*testing.T
	enter []string // the command line that leads there
}

// boot puts an overlay together. What is in share is at /mnt in it.
const boot = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/tmp"
mount --bind "$2" "$1/root/mnt"
rm -f "$1/root/var/lib/man-db/auto-update" # an index of all manual pages takes ten seconds
ip link set lo up
read pid rest </proc/self/stat
echo "$pid"
exec sleep infinity
`

func newMachine(t *testing.T, share string) *machine {
	t.Helper()
	require(t, "unshare", "ip", "dpkg")
	if os.Geteuid() != 0 {
		t.Fatal("only root can make mount namespaces: run it with sudo -E")
	}
	dir := lab.Dir(t)
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", boot, "sh", dir, share)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_, _ = io.ReadAll(out)
		t.Fatalf("an overlay of this machine cannot be made: %v\n%s", err, complaints.String())
	}
	return &machine{t, []string{"nsenter", "--target", strings.TrimSpace(pid), "--mount", "--net", "--pid", "chroot", filepath.Join(dir, "root")}}
}

// try runs a shell script there and returns what it said.
func (m *machine) try(script string) (string, error) {
	cmd := exec.Command(m.enter[0], append(m.enter[1:len(m.enter):len(m.enter)], "/bin/sh", "-c", "cd /\n"+script)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

// run is try for what has to succeed.
func (m *machine) run(script string) string {
	m.Helper()
	out, err := m.try(script)
	if err != nil {
		m.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return out
}

// want runs a script and wants it to say something.
func (m *machine) want(script, said string) {
	m.Helper()
	if out := m.run(script); out != said {
		m.Errorf("%s\nsays %q, want %q", script, out, said)
	}
}

// eventually runs a script until it succeeds.
func (m *machine) eventually(script string) {
	m.Helper()
	var out string
	var err error
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		if out, err = m.try(script); err == nil {
			return
		}
	}
	m.Fatalf("%s\n%v\n%s", script, err, out)
}

// settings are the files below /etc with their owners, modes and contents, but for those
// of saslguard and of users.
func (m *machine) settings() string {
	m.Helper()
	return m.run(`find /etc -xdev \( -path /etc/saslguard -o -name '*saslguard*' -o -path '/etc/*passwd*' -o -path '/etc/*group*' \
		-o -path '/etc/*shadow*' -o -path '/etc/sub[ug]id*' -o -path '/etc/.pwd.lock' \) -prune -o -type f -printf '%p %U:%G %m ' -exec md5sum {} \; | sort`)
}

// built are packages of two versions, made by the same files as those of a release.
type built struct {
	dir                   string
	deb, deb2, rpm, rpm2  string
	version, commit, date string
}

// laterDefault is a line that the configuration of the second version has.
const laterDefault = "# Of a later version."

func build(t *testing.T) built {
	t.Helper()
	require(t, "make")
	b := built{dir: lab.Dir(t), version: "0.9.1", commit: strings.Repeat("0123456789abcdef", 3)[:40], date: "2026-11-26T10:00:00Z"}
	run(t, "../..", []string{"VERSION=" + b.version, "COMMIT=" + b.commit, "SOURCE_DATE_EPOCH=1795687200", "COMPRESSION=gzip"},
		"make", "packages", "OUT="+b.dir)
	stage := filepath.Join(b.dir, "stage")
	f, err := os.OpenFile(filepath.Join(stage, "configs/saslguard.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(f, laterDefault); err != nil {
		t.Fatal(err)
	}
	f.Close()
	arch := strings.TrimSpace(run(t, ".", nil, "go", "env", "GOARCH"))
	for _, kind := range []string{"deb", "rpm"} {
		run(t, stage, []string{"VERSION=0.9.2", "SOURCE_DATE_EPOCH=1795687200", "GOARCH=" + arch},
			"bin/nfpm", "package", "--config", "packaging/nfpm.yaml", "--packager", kind, "--target", b.dir+"/")
	}
	for pattern, path := range map[string]*string{"*0.9.1*.deb": &b.deb, "*0.9.2*.deb": &b.deb2, "*0.9.1*.rpm": &b.rpm, "*0.9.2*.rpm": &b.rpm2} {
		found, err := filepath.Glob(filepath.Join(b.dir, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v %v", pattern, found, err)
		}
		*path = filepath.Base(found[0])
	}
	return b
}

// run runs a program that has to succeed and returns what it said.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}
