package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/doctor"
	"github.com/saslguard/saslguard/test/lab"
)

// clinic is a mail host whose Postfix and Dovecot run with the shipped settings.
type clinic struct {
	*testing.T
	program
	guard   *lab.Process
	dovecot *lab.Dovecot
	postfix *lab.Postfix
	args    []string
}

func newClinic(t *testing.T, config string) *clinic {
	t.Helper()
	lab.Require(t, lab.NeedPostfix, lab.NeedDovecot)
	c := &clinic{T: t, program: newProgram(t)}
	c.write(t, config)
	c.guard = c.program.start(t)
	snippet := lab.DovecotSnippet(t, c.program.dovecot, "00112233445566778899aabbccddeeff")
	c.dovecot = lab.StartDovecot(t, lab.DovecotOptions{Users: map[string]string{alice: right}, Extra: snippet})
	c.postfix = lab.StartPostfix(t, lab.PostfixOptions{
		SASLPath:           c.dovecot.SASLPath,
		ClientRestrictions: lab.PostfixService(t, c.program.postfix, "submission"),
		MXRestrictions:     lab.PostfixService(t, c.program.postfix, "mx"),
	})
	c.args = []string{"doctor", "--config", c.config,
		"--postfix-config", filepath.Join(c.postfix.Dir, "etc"), "--dovecot-config", filepath.Join(c.dovecot.Dir, "dovecot.conf")}
	return c
}

// examine runs saslguard doctor, as the user nobody if so, and returns what it
// found and its exit code.
func (c *clinic) examine(asNobody bool, args ...string) (r doctor.Report, code int) {
	c.Helper()
	cmd := exec.Command(c.bin, append(slices.Concat(c.args, args), "-o", "json")...)
	if asNobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
	}
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		c.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		c.Fatalf("%v: %s", err, out)
	}
	return r, cmd.ProcessState.ExitCode()
}

// worse are the ids of the findings above info.
func worse(r doctor.Report) string {
	ids := map[string]bool{}
	for _, f := range r.Findings {
		if f.Severity > doctor.Info {
			ids[f.ID] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(ids)), " ")
}

// want examines and wants these findings above info, no more and no less.
func (c *clinic) want(when, ids string, code int) doctor.Report {
	c.Helper()
	r, got := c.examine(false)
	if worse(r) != ids || got != code {
		c.Errorf("%s: found %q, exit code %d, want %q, %d", when, worse(r), got, ids, code)
		for _, f := range r.Findings {
			if f.Severity > doctor.Info {
				c.Logf("%+v", f)
			}
		}
	}
	return r
}

// The shipped settings, with servers that run, are as they should be; then one
// thing after the other goes wrong.
func TestDoctor(t *testing.T) {
	t.Parallel()
	c := newClinic(t, "")
	if r, err := c.dovecot.IMAPLogin(lab.NoMechanism)(netip.MustParseAddr("192.0.2.1"), alice, right); err != nil || !r.Accepted {
		t.Fatalf("%+v, %v", r, err)
	}
	r := c.want("as shipped", "", 0)
	for _, id := range []string{
		"config", "running", "same-version", "ports", "state-mode", "postfix-asks", "postfix-default-action", "postfix-timeout", "postfix-context",
		"postfix-answer", "postfix-guesses", "tarpit-held", "tarpit-postfix", "dovecot-asks", "dovecot-nonce", "dovecot-mechanism", "dovecot-report", "dovecot-penalty", "dovecot-nopassword",
	} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.ID == id && f.Severity == doctor.OK }) {
			t.Errorf("nothing says that %s is right", id)
		}
	}

	out, err := exec.Command(c.bin, append(c.args, "--only", "dovecot-nonce-same")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "fingerprint") || strings.Contains(string(out), "00112233") {
		t.Errorf("%v: %s", err, out)
	}
	r, code := c.examine(true)
	if code != 0 && code != 3 && code != 4 || len(r.Findings) < 20 {
		t.Errorf("without root: exit code %d, %d findings", code, len(r.Findings))
	}
	if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.ID == "kernel" && f.Severity == doctor.Info }) {
		t.Errorf("without root it does not say what it cannot see: %+v", r.Findings)
	}

	// A key that Dovecot does not have.
	c.yaml("dovecot", fmt.Sprintf("listen: [%q], api_key: sesame", c.program.dovecot))
	c.hup()
	c.want("another key", "dovecot-credentials", 4)
	c.yaml("dovecot", fmt.Sprintf("listen: [%q]", c.program.dovecot))
	c.hup()

	// The mode was changed, and nobody reloaded.
	text, err := os.ReadFile(c.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.config, append(text, "mode: enforce\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want("not reloaded", "mode", 3)

	if err := c.guard.Kill9(); err != nil {
		t.Fatal(err)
	}
	c.want("not running", "dovecot-answer postfix-answer running", 4)
	l, err := net.Listen("tcp", c.program.dovecot)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.want("another program on its port", "dovecot-answer ports postfix-answer running", 4)
}

// yaml replaces a part of the configuration.
func (c *clinic) yaml(part, inner string) {
	c.Helper()
	text, err := os.ReadFile(c.config)
	if err != nil {
		c.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, part+":") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, part+": {"+inner+"}\n")
	if err := os.WriteFile(c.config, []byte(strings.Join(lines, "")), 0o600); err != nil {
		c.Fatal(err)
	}
}

// joined waits until saslguard has reached Redis.
func (c *clinic) joined() {
	c.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, _ := c.examine(false, "--only", "health-degraded")
		switch {
		case worse(r) == "" && len(r.Findings) > 0:
			return
		case time.Now().After(deadline):
			c.Fatalf("saslguard has not reached Redis: %+v", r.Findings)
		}
	}
}

func (c *clinic) hup() {
	c.Helper()
	seen := strings.Count(c.guard.Output(), `"msg":"reloaded"`)
	if err := c.guard.Signal(syscall.SIGHUP); err != nil {
		c.Fatal(err)
	}
	for deadline := time.Now().Add(15 * time.Second); strings.Count(c.guard.Output(), `"msg":"reloaded"`) == seen; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("not reloaded:\n%s", c.guard.Output())
		}
	}
}

// Redis as people install it, then as it should be.
func TestDoctorLooksAtRedis(t *testing.T) {
	t.Parallel()
	server := lab.StartRedis(t, lab.RedisOptions{Args: []string{"--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"}})
	p := newProgram(t)
	p.write(t, fmt.Sprintf("redis: {addresses: [%q], hash_key: 0123456789abcdef}\n", server.Addr))
	p.start(t)
	c := &clinic{T: t, program: p, args: []string{"doctor", "--config", p.config, "--postconf", "/nonexistent", "--doveconf", "/nonexistent"}}
	c.joined()
	c.want("as installed", "redis-eviction redis-persistence", 4)
	client := server.Client(t)
	if err := client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	c.want("without eviction", "redis-persistence", 3)
	before, err := client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "appendonly", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	r := c.want("as it should be", "", 0)
	for _, id := range []string{"redis-answers", "redis-eviction", "redis-persistence", "redis-clock", "redis-memory"} {
		if !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.ID == id && f.Severity == doctor.OK }) {
			t.Errorf("nothing says that %s is right", id)
		}
	}
	if after, err := client.DBSize(t.Context()).Result(); err != nil || after != before {
		t.Errorf("Redis had %d keys before and %d after (%v)", before, after, err)
	}
	if err := server.Kill9(); err != nil {
		t.Fatal(err)
	}
	if r, code := c.examine(false, "--only", "redis-answers"); worse(r) != "redis-answers" || code != 4 {
		t.Errorf("without Redis: %q, exit code %d", worse(r), code)
	}
}
