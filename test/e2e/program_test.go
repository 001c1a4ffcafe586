package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// As the README says: one command, no root, no configuration, the default ports.
func TestServeWithoutAnything(t *testing.T) {
	home := t.TempDir()
	p := lab.StartProcess(t, lab.Build(t), []string{"serve"}, []string{"HOME=" + home, "XDG_STATE_HOME=" + home, "XDG_RUNTIME_DIR=" + lab.Dir(t)})
	for _, want := range []string{
		`"mode":"observe"`, `"store":"memory"`, "saslguard.db", "127.0.0.1:10035", "127.0.0.1:4001", "/control.sock", "127.0.0.1:4002", "nothing is refused",
	} {
		if _, err := p.WaitLine(want, 15*time.Second); err != nil {
			t.Fatalf("no line with %s: %v", want, err)
		}
	}
	conn, err := net.Dial("tcp", "127.0.0.1:10035")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ask(t, conn, bufio.NewReader(conn)); got != "action=DUNNO" {
		t.Errorf("Postfix is answered %q", got)
	}
	res, err := http.Post("http://127.0.0.1:4001/?command=allow", "application/json",
		strings.NewReader(`{"login":"alice","remote":"192.0.2.1","pwhash":"0ccf","protocol":"imap","mech":"PLAIN","session_id":"","tls":false,"device_id":""}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := make([]byte, 100)
	n, _ := res.Body.Read(body)
	if got := string(body[:n]); got != `{"status":0,"msg":""}` {
		t.Errorf("Dovecot is answered %s", got)
	}
	stopped(t, p)
}

// ask asks as Postfix does and returns the answer's line.
func ask(t *testing.T, conn net.Conn, r *bufio.Reader) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=192.0.2.1\nclient_port=1234\npolicy_context=submission\n\n"); err != nil {
		t.Fatal(err)
	}
	return answer(t, r)
}

func answer(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if end, err := r.ReadString('\n'); err != nil || end != "\n" {
		t.Fatalf("the answer ends with %q (%v)", end, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// stopped stops a process as systemd does and wants it to end well.
func stopped(t *testing.T, p *lab.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Exited():
	case <-time.After(15 * time.Second):
		t.Fatal("SIGTERM does not end it")
	}
	if _, err := p.WaitLine(`"msg":"stopped"`, 5*time.Second); err != nil || p.ExitCode() != 0 {
		t.Errorf("exit code %d, %v", p.ExitCode(), err)
	}
}

// program is saslguard alone, on ports of its own.
type program struct {
	bin, config, state, postfix, dovecot, admin, control string
}

func newProgram(t *testing.T) program {
	t.Helper()
	dir := t.TempDir()
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)) }
	return program{
		bin: lab.Build(t), config: filepath.Join(dir, "saslguard.yaml"), state: filepath.Join(dir, "state"),
		postfix: addr(), dovecot: addr(), admin: addr(), control: filepath.Join(lab.Dir(t), "control.sock"),
	}
}

func (p program) write(t *testing.T, more string) {
	t.Helper()
	text := fmt.Sprintf("state_directory: %s\npostfix: {listen: [%q]}\ndovecot: {listen: [%q]}\nadmin: {listen: %q, control: {socket: %q}}\n%s", p.state, p.postfix, p.dovecot, p.admin, p.control, more)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p program) start(t *testing.T, env ...string) *lab.Process {
	t.Helper()
	proc := lab.StartProcess(t, p.bin, []string{"serve", "--config", p.config}, env)
	if _, err := proc.WaitLine("metrics and health", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	return proc
}

func TestASecondStartSaysSo(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "")
	p.start(t)
	second := func(args ...string) string {
		t.Helper()
		proc := lab.StartProcess(t, p.bin, append([]string{"serve", "--config", p.config}, args...), nil)
		select {
		case <-proc.Exited():
		case <-time.After(15 * time.Second):
			t.Fatal("a second saslguard runs")
		}
		if proc.ExitCode() != 1 {
			t.Errorf("exit code %d", proc.ExitCode())
		}
		if _, err := proc.WaitLine("saslguard: ", 5*time.Second); err != nil { // it has ended, and not all was read yet
			t.Error(err)
		}
		return proc.Output()
	}
	if out := second(); !strings.Contains(out, p.postfix) || !strings.Contains(out, "in use") {
		t.Errorf("on the same ports it says %s", out)
	}
	other := newProgram(t)
	ports := []string{"--postfix", other.postfix, "--dovecot", other.dovecot, "--set", "admin.listen=" + other.admin}
	if out := second(append(ports, "--state", other.state)...); !strings.Contains(out, p.control) || !strings.Contains(out, "in use") {
		t.Errorf("with the same control socket it says %s", out)
	}
	if out := second(append(ports, "--set", "admin.control.socket="+other.control)...); !strings.Contains(out, p.state) || !strings.Contains(out, "already") {
		t.Errorf("with the same state it says %s", out)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "mode: observe\n")
	proc := p.start(t)
	hup := func(want ...string) {
		t.Helper()
		if err := proc.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if _, err := proc.WaitLine(w, 15*time.Second); err != nil {
				t.Fatalf("after SIGHUP no line with %q: %v", w, err)
			}
		}
	}
	p.write(t, "rules:\n  half_life: 4\n")
	hup(p.config+":6", "rules.half_life", "the old configuration goes on")
	p.write(t, "mode: enforce\nstop_timeout: 5s\npostfix_: 1\n")
	hup("postfix_")
	p.write(t, "mode: enforce\nstop_timeout: 5s\n")
	hup(`"msg":"reloaded","mode":"enforce"`, "take effect after a restart", "stop_timeout")
	stopped(t, proc)
}

func TestTheEnvironmentOverridesTheFile(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "mode: observe\n")
	proc := p.start(t, "SASLGUARD_MODE=enforce")
	if !strings.Contains(proc.Output(), `"mode":"enforce"`) {
		t.Error("SASLGUARD_MODE has no effect")
	}
}

// A request that has begun when the stop comes is answered.
func TestAStopAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "")
	proc := p.start(t)
	conn, err := net.Dial("tcp", p.postfix)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	ask(t, conn, r)
	if _, err := fmt.Fprint(conn, "request=smtpd_access_policy\nclient_address=192.0.2.1\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it must have been read
	if err := proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.WaitLine("stopping", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "protocol_state=CONNECT\n\n"); err != nil {
		t.Fatal(err)
	}
	if got := answer(t, r); got != "action=DUNNO" {
		t.Errorf("answered %q", got)
	}
	stopped(t, proc)
}

// A state file that is torn is set aside, and saslguard serves.
func TestATornStateFileIsSetAside(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "")
	stopped(t, p.start(t))
	file := filepath.Join(p.state, "saslguard.db")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("the state file has mode %o", st.Mode().Perm())
	}
	if err := os.Truncate(file, st.Size()/2); err != nil {
		t.Fatal(err)
	}
	proc := p.start(t)
	if !strings.Contains(proc.Output(), "set aside") {
		t.Error("nobody is told")
	}
	if aside, err := filepath.Glob(file + "?*"); err != nil || len(aside) == 0 {
		t.Errorf("the torn file is gone: %v %v", aside, err)
	}
	stopped(t, proc)
}
