package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestSessionIn(t *testing.T) {
	for variables, want := range map[string]string{
		"":                                    "",
		"A=192.0.2.1 1 22|SSH_TTY=/dev/pts/0": "",
		"SSH_CLIENT=192.0.2.1 50000 22":       "192.0.2.1",
		"SSH_CLIENT=192.0.2.1 5 22|SSH_CONNECTION=2001:db8::1 5 ::2 22":  "2001:db8::1",
		"SSH_CONNECTION=fe80::1%eth0 50000 fe80::2%eth0 22":              "fe80::1",
		"SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535|SSH_CLIENT=":         "",
		"SSH_CONNECTION=\x1b[31m 1 2 3|SSH_CLIENT=198.51.100.1 50000 22": "198.51.100.1",
	} {
		got, said := sessionIn(strings.Split(variables, "|"))
		if got != want || said != strings.Contains(variables, "SSH_C") {
			t.Errorf("%q: %q, %v, not %q", variables, got, said, want)
		}
	}
}

// sudo takes the variables away, and the shell from which it was called has them.
func TestSessionBehindSudo(t *testing.T) {
	if os.Getenv("SASLGUARD_TEST_SESSION") != "" {
		t.Log("session " + session())
		return
	}
	inner := "env -u SSH_CONNECTION -u SSH_CLIENT SASLGUARD_TEST_SESSION=1 " + os.Args[0] + " -test.run=TestSessionBehindSudo -test.v; true"
	cmd := exec.Command("sh", "-c", inner)
	cmd.Env = append(os.Environ(), "SSH_CONNECTION=192.0.2.44 50000 192.0.2.1 22")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "session 192.0.2.44") {
		t.Errorf("%v: %s", err, out)
	}
}
