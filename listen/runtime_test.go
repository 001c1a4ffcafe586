package listen

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRuntimeDirectory(t *testing.T) {
	if writable(systemRuntime) {
		t.Logf("%s is this machine's", systemRuntime)
	}
	dir, err := os.MkdirTemp("/tmp", "sg-run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	long := "/" + strings.Repeat("x", maxPath)
	for name, c := range map[string]struct {
		systemd, xdg, state string
		want                string // "": there is none
		system              bool   // /run/saslguard comes before it
	}{
		"systemd's":            {dir + "/a", dir, dir, dir + "/a", false},
		"the first of several": {dir + "/a:" + dir + "/b", dir, dir, dir + "/a", false},
		"the user's":           {"", dir, dir, dir + "/saslguard", true},
		"no user's":            {"", dir + "/none", dir, dir, true},
		"relative":             {"run", "run", dir, dir, true},
		"too long":             {long, long, dir, dir, true},
		"nowhere":              {"", "", "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RUNTIME_DIRECTORY", c.systemd)
			t.Setenv("XDG_RUNTIME_DIR", c.xdg)
			if c.system && writable(systemRuntime) {
				c.want = systemRuntime
			}
			got, why, err := RuntimeDirectory(c.state)
			if got != c.want || (err == nil) != (c.want != "") || err == nil && why == "" {
				t.Errorf("%q (%s), %v", got, why, err)
			}
		})
	}
}

// Whoever asks finds the socket where the daemon has put it.
func TestFindControl(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "sg-run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if _, err := FindControl(""); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "saslguard", ControlSocket)) {
		t.Errorf("with no socket anywhere: %v", err)
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(state, ControlSocket)
	l, err := net.Listen("unix", want)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := FindControl(state); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}
