package packages

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/test/lab"
)

// TestHardening has systemd judge how open the units leave the host: from 0 to 100,
// below 20 is what it calls OK. Sockets, netlink and the one capability are needed.
func TestHardening(t *testing.T) {
	require(t, "systemd-analyze")
	for unit, most := range map[string]int{"saslguard.service": 15, "saslguard-firewall.service": 18} {
		path := filepath.Join("../../configs/systemd", unit)
		cmd := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", fmt.Sprintf("--threshold=%d", most), path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s is worse than %d: %v\n%s", unit, most, err, out)
		}
	}
}

// arguments run the program with a state of its own and no listeners but those it is
// passed.
func arguments(t *testing.T, control string) []string {
	return []string{
		"serve", "--state", t.TempDir(), "--set", "postfix.listen=", "--set", "dovecot.listen=",
		"--set", fmt.Sprintf("admin.listen=127.0.0.1:%d", lab.FreePort(t)), "--set", "admin.control.socket=" + control,
	}
}

// TestSocketActivation has systemd's own program pass the sockets of the units: the
// first question starts saslguard and is answered.
func TestSocketActivation(t *testing.T) {
	require(t, "systemd-socket-activate")
	postfix, dovecot := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	control := filepath.Join(lab.Dir(t), "control.sock")
	var names []string
	for _, name := range []string{"postfix", "dovecot", "control"} {
		unit, err := configs.Snippet("systemd/saslguard-" + name + ".socket")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(unit), "\nFileDescriptorName=")
		n, _, _ := strings.Cut(after, "\n")
		names = append(names, n)
	}
	bin := lab.Build(t)
	args := append([]string{"-l", postfix, "-l", dovecot, "-l", control, "--fdname=" + strings.Join(names, ":"), bin}, arguments(t, control)...)
	p := lab.StartProcess(t, "/usr/bin/systemd-socket-activate", args, nil)
	if _, err := p.WaitLine("Listening on "+control, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, postfix); got != "action=DUNNO\n" {
		t.Errorf("Postfix is answered %q", got)
	}
	out, err := exec.Command(bin, "status", "--socket", control).CombinedOutput()
	if err != nil {
		t.Errorf("by the control socket: %v\n%s", err, out)
	}
	conn, err := net.Dial("tcp", dovecot)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "405") {
		t.Errorf("Dovecot's socket says %q, %v", line, err)
	}
}

// ask asks as Postfix does.
func ask(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=192.0.2.1\npolicy_context=submission\n\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestNotify reads what Type=notify and WatchdogSec= live on: ready when it serves,
// alive again and again while it works and not while it hangs, a reload with its begin
// and end, and the stop.
func TestNotify(t *testing.T) {
	path := filepath.Join(lab.Dir(t), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	buf := make([]byte, 4096)
	said := func(within time.Duration) string {
		if err := l.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		n, _ := l.Read(buf)
		return string(buf[:n])
	}
	want := func(words string) string {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			if s := said(20 * time.Second); strings.Contains(s, words) {
				return s
			}
		}
		t.Fatalf("systemd is never told %s", words)
		return ""
	}
	postfix := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	control := filepath.Join(lab.Dir(t), "control.sock")
	p := lab.StartActivated(t, lab.Build(t), arguments(t, control),
		[]string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=300000"}, lab.Hold(t, "postfix", postfix))
	want("READY=1")
	if got := ask(t, postfix); got != "action=DUNNO\n" {
		t.Errorf("ready, and Postfix is answered %q", got)
	}
	want("WATCHDOG=1")
	want("WATCHDOG=1")
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := p.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	for said(400*time.Millisecond) != "" { // what was on the way
	}
	if s := said(time.Second); s != "" {
		t.Errorf("a stopped process says %q", s)
	}
	signal(syscall.SIGCONT)
	want("WATCHDOG=1")
	signal(syscall.SIGHUP)
	if s := want("RELOADING=1"); !strings.Contains(s, "MONOTONIC_USEC=") {
		t.Errorf("the reload begins with %q", s)
	}
	want("READY=1")
	signal(syscall.SIGTERM)
	want("STOPPING=1")
	<-p.Exited()
	if p.ExitCode() != 0 {
		t.Errorf("exit code %d", p.ExitCode())
	}
}
