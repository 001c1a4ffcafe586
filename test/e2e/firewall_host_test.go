package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/netns"
)

// lone is a mail host without Redis, in the namespace that the test runs in, and
// strangers on its network.
type lone struct {
	*testing.T
	program
	near *netns.World
	dir  string // the runtime directory
	http *http.Client
}

func newLone(t *testing.T) *lone {
	t.Helper()
	l := &lone{T: t, program: newProgram(t), near: netns.New(t), dir: lab.Dir(t), http: &http.Client{Timeout: 10 * time.Second}}
	here := netns.Here(t)
	netns.Join(here, l.near)
	here.Listen(echoPort)
	return l
}

// run starts saslguard with a command line, as an ordinary user with capabilities
// (such as "-all" or "-all,+net_admin"), until it says something.
func (l *lone) run(until, capabilities string, args ...string) *lab.Process {
	l.Helper()
	args = append([]string{
		"--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
		"--inh-caps=" + capabilities, "--ambient-caps=" + capabilities, "--bounding-set=" + capabilities, l.bin,
	}, args...)
	args = append(args, "--config", l.config)
	p := lab.StartProcess(l.T, "/usr/bin/setpriv", args, []string{"RUNTIME_DIRECTORY=" + l.dir, "HOME=" + l.dir})
	if _, err := p.WaitLine(until, 15*time.Second); err != nil {
		l.Fatal(err)
	}
	return p
}

// ban has a client banned by what Dovecot would report.
func (l *lone) ban(client string) {
	l.Helper()
	if _, err := post(l.http, "http://"+l.dovecot+"/?command=report", body(client, "trap@lab.test", 1, `,"success":false,"policy_reject":false`)); err != nil {
		l.Fatal(err)
	}
}

func (l *lone) becomes(what string, so func() bool) {
	l.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("never: %s", what)
		}
	}
}

func (l *lone) status() (s firewall.Status) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, l.bin, "firewall", "status", "-o", "json", "--socket", filepath.Join(l.dir, firewall.Socket)).Output()
	if err != nil || json.Unmarshal(out, &s) != nil {
		l.Fatalf("firewall status: %v\n%s", err, out)
	}
	return s
}

// healthy returns what saslguard says of a part of itself.
func (l *lone) part(name string) string {
	l.Helper()
	res, err := l.http.Get("http://" + l.admin + "/healthz")
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	var h struct {
		Parts []struct{ Name, State, Detail string }
	}
	if err := json.NewDecoder(res.Body).Decode(&h); err != nil {
		l.Fatal(err)
	}
	for _, p := range h.Parts {
		if p.Name == name {
			return p.State + ": " + p.Detail
		}
	}
	return ""
}

// One host, without Redis: an agent of its own that follows the control socket, and
// serve as the agent, with its privilege and without.
func TestFirewallOfOneHost(t *testing.T) {
	if !inside(t) {
		return
	}
	l := newLone(t)
	if err := os.Chown(l.dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	l.state, l.config, l.control = filepath.Join(l.dir, "state"), filepath.Join(l.dir, "saslguard.yaml"), filepath.Join(l.dir, "control.sock")
	settings := func(more string) {
		t.Helper()
		l.write(t, "mode: enforce\nrules: {trap_accounts: [trap@lab.test]}\nfirewall:\n  ports: [587]\n"+more)
		if err := os.Chmod(l.config, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	settings("")

	// The agent waits for the server, follows it, and outlives it.
	agent := l.run("bans do not arrive", "-all,+net_admin", "firewall")
	serve := l.run("metrics and health", "-all", "serve")
	l.becomes("the agent knows the bans", func() bool { return l.status().State == firewall.Running })
	l.ban("203.0.113.1")
	l.becomes("the ban is in the kernel", func() bool { return !l.near.Reaches("203.0.113.1", echoPort) })
	if !l.near.Reaches("203.0.113.2", echoPort) {
		t.Error("another client is denied")
	}
	if s := l.status(); s.Bans != 1 || s.Position.IsZero() || s.Backend != "nftables" {
		t.Errorf("%+v", s)
	}
	stopped(t, serve)
	if l.near.Reaches("203.0.113.1", echoPort) {
		t.Error("without a server the ban is gone")
	}
	serve = l.run("metrics and health", "-all", "serve")
	l.ban("203.0.113.2")
	l.becomes("a later ban is in the kernel", func() bool { return !l.near.Reaches("203.0.113.2", echoPort) })
	stopped(t, agent)
	if !l.near.Reaches("203.0.113.1", echoPort) {
		t.Error("firewall.at_stop is remove, and the ban stays")
	}
	stopped(t, serve)

	// serve itself, without the privilege: it serves, and says what to do.
	settings("  enabled: true\n")
	serve = l.run("bans are not in the firewall: this process may not change it", "-all", "serve")
	if _, err := serve.WaitLine("AmbientCapabilities=CAP_NET_ADMIN", time.Second); err != nil {
		t.Error(err)
	}
	if got := l.part("firewall"); !strings.HasPrefix(got, "degraded: ") || !strings.Contains(got, "CAP_NET_ADMIN is missing") {
		t.Errorf("its health is %q", got)
	}
	if got, err := post(l.http, "http://"+l.dovecot+"/?command=allow", body("203.0.113.1", "alice", 1, "")); err != nil || !strings.Contains(got, `"status":-1`) {
		t.Errorf("the banned is answered %s (%v)", got, err)
	}
	stopped(t, serve)

	// With it; and another agent does not interfere.
	serve = l.run("metrics and health", "-all,+net_admin", "serve")
	l.becomes("the bans of before are in the kernel", func() bool { return !l.near.Reaches("203.0.113.1", echoPort) })
	l.becomes("it is well", func() bool { return strings.HasPrefix(l.part("firewall"), "ok: nftables, running, 2 bans") })
	other := l.run("another firewall agent runs on this host", "-all,+net_admin", "firewall")
	l.ban("203.0.113.3")
	l.becomes("a ban is in the kernel", func() bool { return !l.near.Reaches("203.0.113.3", echoPort) })
	stopped(t, serve)
	if _, err := other.WaitLine("the firewall agent listens", 20*time.Second); err != nil {
		t.Error(err)
	}
	stopped(t, other)
	if out := netns.Here(t).NFT("list ruleset"); out != "" {
		t.Errorf("after all have stopped there is\n%s", out)
	}
}
