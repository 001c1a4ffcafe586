package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/redis"
	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/netns"
)

// insideEnv says that the test process runs in a network namespace of its own.
const insideEnv = "FIREWALL_TEST_INSIDE"

// inside runs the rest of a test in a network namespace of its own, by running the
// test's binary again: real servers, saslguard and the rules of its firewall are
// then all in there, and never on the host. It returns true inside.
func inside(t *testing.T) bool {
	t.Helper()
	lab.Require(t)
	if os.Getenv(insideEnv) != "" {
		return true
	}
	run := fmt.Sprintf("/usr/sbin/ip link set lo up && exec %s -test.run='^%s$' -test.v -test.timeout=5m", os.Args[0], t.Name())
	p := lab.StartProcess(t, "/usr/bin/unshare", []string{"--net", "/bin/sh", "-c", run}, []string{insideEnv + "=1"})
	select {
	case <-p.Exited():
	case <-time.After(5 * time.Minute):
		t.Fatal("the test does not end")
	}
	if p.ExitCode() != 0 {
		t.Errorf("inside the namespace:\n%s", p.Output())
		return false
	}
	for line := range strings.Lines(p.Output()) {
		if strings.Contains(line, "_test.go:") {
			t.Log(strings.TrimSpace(line))
		}
	}
	return false
}

// cluster is two mail hosts that share a Redis, and strangers on the network. Host
// a has Dovecot, Postfix and saslguard, and is the namespace that the test runs in;
// host b has another one, and a port that answers. Both have a firewall agent.
type cluster struct {
	*site
	redis     *lab.Redis
	ledger    *redis.Store
	a, b      *agentOf
	near, far *netns.World // the network of host a, and of host b
	guarded   []string     // ports
	section   string       // of the configuration
}

// agentOf is the firewall agent of a host.
type agentOf struct {
	world *netns.World
	name  string
	dir   string // its runtime directory
	args  []string
	proc  *lab.Process
}

const echoPort = 587

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	dir := lab.Dir(t)
	socket := filepath.Join(dir, "redis.sock")
	c.redis = lab.StartRedis(t, lab.RedisOptions{AppendOnly: true, Args: []string{"--unixsocket", socket, "--unixsocketperm", "777"}})
	c.section = "--set=redis.addresses=" + socket
	c.site = newSite(t, c.section, "--set", "redis.hash_key="+hashKey, "--set", "rules.trap_accounts=trap@lab.test", "--set", "host=a")
	c.ledger = shared(t, c.redis.Addr)

	here := netns.Here(t)
	c.near = netns.New(t)
	netns.Join(here, c.near)
	// The lab's servers listen on loopback: what strangers send to host a's address
	// is sent on to there, to the same port and with their own address.
	here.Run("", "/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
	here.NFT("table ip lab { chain in { type nat hook prerouting priority dstnat; ip daddr " + netns.Server4 + " dnat to 127.0.0.1; }; }")

	other := netns.New(t)
	c.far = netns.New(t)
	netns.Join(other, c.far)
	other.Listen(echoPort)

	c.guarded = []string{fmt.Sprint(echoPort), fmt.Sprint(c.postfix.MX.Port())}
	c.a, c.b = c.agent(here, "a"), c.agent(other, "b")
	return c
}

// agent runs `saslguard firewall` as an ordinary user who has CAP_NET_ADMIN.
func (c *cluster) agent(w *netns.World, name string) *agentOf {
	c.Helper()
	a := &agentOf{world: w, name: name, dir: lab.Dir(c.T)}
	if err := os.Chown(a.dir, 65534, 65534); err != nil {
		c.Fatal(err)
	}
	a.args = []string{
		"--net=" + w.Path, "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
		"--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin",
		c.bin, "firewall", c.section, "--set", "redis.hash_key=" + hashKey, "--set", "mode=enforce", "--set", "host=" + name,
		"--set", "firewall.ports=" + strings.Join(c.guarded, ","), "--set", "firewall.at_stop=keep",
	}
	c.startAgent(a)
	return a
}

func (c *cluster) startAgent(a *agentOf) {
	c.Helper()
	a.proc = lab.StartProcess(c.T, "/usr/bin/nsenter", a.args, []string{"RUNTIME_DIRECTORY=" + a.dir, "HOME=" + a.dir})
	if _, err := a.proc.WaitLine("the firewall agent listens", 15*time.Second); err != nil {
		c.Fatal(err)
	}
}

// ban bans for a time, and waits until both hosts say that they enforce it.
func (c *cluster) banEverywhere(prefix string, lasts time.Duration) {
	c.Helper()
	_, at, err := c.ledger.PutPosition(c.Context(), store.Entry{
		Kind: store.OperatorBan, Prefix: netip.MustParsePrefix(prefix), Until: time.Now().Add(lasts), Reason: "test", By: "test",
	})
	if err != nil {
		c.Fatal(err)
	}
	c.enforced(at)
}

// enforced waits until every host's agent has acknowledged a position.
func (c *cluster) enforced(at store.Position) {
	c.Helper()
	c.becomes("both hosts say that they enforce what is banned", func() bool {
		hosts, err := c.ledger.Hosts(c.Context())
		enforcing := 0
		for _, h := range hosts {
			if err == nil && h.Firewall != nil && h.Firewall.State == "running" && h.Firewall.Position.Compare(at) >= 0 {
				enforcing++
			}
		}
		return enforcing == 2
	})
}

func (c *cluster) becomes(what string, so func() bool) {
	c.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("never: %s\nagent a: %s\nagent b: %s", what, c.a.proc.Output(), c.b.proc.Output())
		}
	}
}

// From a failed login on one host to packets that are dropped on another, with all
// of it real: Dovecot, Redis, the kernel.
func TestFirewall(t *testing.T) {
	if !inside(t) {
		return
	}
	c := newCluster(t)
	c.enforced(store.Position{})
	for _, step := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"from failure to packet", fromFailureToPacket},
		{"open sessions end", openSessionsEnd},
		{"the agent is killed", theAgentIsKilled},
		{"Redis is gone", redisIsGone},
		{"the operator asks", theOperatorAsks},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, c) }) {
			t.Logf("agent a:\n%s\nagent b:\n%s", c.a.proc.Output(), c.b.proc.Output())
			return
		}
	}
}

func fromFailureToPacket(t *testing.T, c *cluster) {
	var took []time.Duration
	ended := 0
	for i := range 100 {
		client := fmt.Sprintf("203.0.113.%d", 1+i)
		conn, err := c.far.Dial(client, echoPort, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		from := netip.AddrPortFrom(netip.MustParseAddr(client), 50_000)
		imap, greeting, err := lab.DialIMAP(c.dovecot.IMAPProxy, lab.ProxyV1(from, c.dovecot.IMAPProxy))
		if err != nil || !strings.HasPrefix(greeting, "* OK") {
			t.Fatalf("%q, %v", greeting, err)
		}
		last, gone := make(chan time.Time, 1), make(chan bool, 1)
		go func() { at, reset := lastEcho(conn); last <- at; gone <- reset }()
		answered := make(chan struct{})
		guessed := time.Now()
		go func() {
			defer close(answered)
			_, _ = imap.Login("trap@lab.test", "guess") // Dovecot answers half a second later
		}()
		took = append(took, (<-last).Sub(guessed))
		if <-gone {
			ended++
		}
		conn.Close()
		imap.Close()
		<-answered
	}
	t.Logf("from the guess at host a's Dovecot to packets that host b drops: %s", percentiles(took))
	if worst := slices.Max(took); worst > 5*time.Second {
		t.Errorf("a ban took %v", worst)
	}
	if ended < 95 {
		t.Errorf("%d of 100 open connections were ended", ended)
	}
}

// lastEcho sends and reads until nothing comes back, and returns when something did
// last, and whether the connection was ended.
func lastEcho(conn net.Conn) (last time.Time, ended bool) {
	last = time.Now()
	b := make([]byte, 1)
	for {
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return last, false
		}
		_, err := conn.Write([]byte("x"))
		if err == nil {
			_, err = conn.Read(b)
		}
		if err != nil {
			return last, !errors.Is(err, os.ErrDeadlineExceeded)
		}
		last = time.Now()
		time.Sleep(100 * time.Microsecond)
	}
}

func openSessionsEnd(t *testing.T, c *cluster) {
	port := int(c.postfix.MX.Port())
	attacker, err := c.near.Dial("192.0.2.66", port, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer attacker.Close()
	other, err := c.near.Dial("192.0.2.77", port, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	say := func(conn net.Conn, r *bufio.Reader, command, want string) {
		t.Helper()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if command != "" {
			if _, err := fmt.Fprint(conn, command, "\r\n"); err != nil {
				t.Fatalf("%s: %v", command, err)
			}
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, want) {
				t.Fatalf("%s: %q %v, want %s", command, line, err, want)
			}
			if len(line) > 3 && line[3] == ' ' {
				return
			}
		}
	}
	ra, ro := bufio.NewReader(attacker), bufio.NewReader(other)
	rest := func(r *bufio.Reader) { t.Helper(); _, _ = r.ReadString('\n') } // of the greeting, of which Dial has read some
	rest(ra)
	rest(ro)
	say(attacker, ra, "EHLO evil.test", "250")
	say(other, ro, "EHLO good.test", "250")
	began := time.Now()
	c.banEverywhere("192.0.2.66/32", time.Hour)
	if err := attacker.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := ra.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the open session of the banned client goes on: %v", err)
	}
	t.Logf("an SMTP session with Postfix ended %v after it was decided to ban", time.Since(began).Round(time.Millisecond))
	if c.near.Reaches("192.0.2.66", port) {
		t.Error("the banned client connects again")
	}
	say(other, ro, "MAIL FROM:<a@good.test>", "250")
	say(other, ro, "RCPT TO:<"+alice+">", "250")
	say(other, ro, "DATA", "354")
	say(other, ro, "Subject: x\r\n\r\nx\r\n.", "250")
	c.mustEnter(c.imap, "192.0.2.77", alice)
}

// alive wants host b to deny one address and to let another in.
func (c *cluster) denies(t *testing.T, client string, want bool) {
	t.Helper()
	if got := !c.far.Reaches(client, echoPort); got != want {
		t.Errorf("host b denies %s: %v", client, got)
	}
}

func theAgentIsKilled(t *testing.T, c *cluster) {
	c.banEverywhere("198.51.100.1/32", 8*time.Second)
	c.banEverywhere("198.51.100.0/28", 8*time.Second)
	c.banEverywhere("2001:db8:66::/64", time.Hour)
	ends := time.Now().Add(8 * time.Second)
	if err := c.b.proc.Kill9(); err != nil {
		t.Fatal(err)
	}
	c.denies(t, "198.51.100.1", true)
	c.denies(t, "198.51.100.9", true)
	c.denies(t, "2001:db8:66::1", true)
	time.Sleep(time.Until(ends) + 100*time.Millisecond)
	c.denies(t, "198.51.100.1", false)
	c.denies(t, "198.51.100.9", false)
	c.denies(t, "2001:db8:66::1", true)
	c.startAgent(c.b)
	c.banEverywhere("198.51.100.2/32", time.Hour)
	c.denies(t, "198.51.100.2", true)
	c.denies(t, "2001:db8:66::1", true)
}

func redisIsGone(t *testing.T, c *cluster) {
	c.banEverywhere("198.51.100.3/32", time.Hour)
	c.banEverywhere("198.51.100.4/32", 3*time.Second)
	ends := time.Now().Add(3 * time.Second)
	if err := c.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.b.proc.WaitLine("bans do not arrive", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	c.denies(t, "198.51.100.3", true)
	// Another program's flush is undone also now, and what has ended stays so.
	c.b.world.NFT("flush ruleset")
	c.becomes("the firewall is built anew", func() bool { return !c.far.Reaches("198.51.100.3", echoPort) })
	time.Sleep(time.Until(ends) + 1500*time.Millisecond)
	c.denies(t, "198.51.100.4", false)
	// One that starts now has nothing to say, and takes nothing away.
	if err := c.b.proc.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	c.startAgent(c.b)
	if _, err := c.b.proc.WaitLine("bans do not arrive", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	c.denies(t, "198.51.100.3", true)
	if err := c.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	c.becomes("Redis is back", func() bool { _, err := c.ledger.Hosts(t.Context()); return err == nil })
	c.banEverywhere("198.51.100.5/32", time.Hour)
	c.denies(t, "198.51.100.3", true)
	c.denies(t, "198.51.100.5", true)
}

func theOperatorAsks(t *testing.T, c *cluster) {
	ask := func(want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, c.bin, append([]string{"firewall"}, args...)...)
		cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+c.b.dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("firewall %s: %v, without %q:\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	ask("running", "status")
	ask(`"backend": "nftables"`, "status", "-o", "json")
	ask("paused", "pause")
	c.denies(t, "198.51.100.3", false)
	ask("running", "resume")
	c.denies(t, "198.51.100.3", true)
	ask("bans were taken out", "flush")
	c.denies(t, "198.51.100.3", false)
	ask("until it is resumed", "status")
	ask("running", "resume")
	c.denies(t, "198.51.100.3", true)
	ask("CLIENT", "rates")
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(t.Context(), "unix", filepath.Join(c.b.dir, "firewall.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /metrics HTTP/1.0\r\n\r\n")
	if shown, err := io.ReadAll(io.LimitReader(conn, 1<<20)); err != nil || !strings.Contains(string(shown), `saslguard_firewall_state{state="running"} 1`) {
		t.Errorf("its metrics are %v\n%s", err, shown)
	}
	// A second agent on the host waits, and what the first one says stays known when it
	// ends.
	second := lab.StartProcess(t, "/usr/bin/nsenter", c.b.args, []string{"RUNTIME_DIRECTORY=" + c.b.dir, "HOME=" + c.b.dir})
	if _, err := second.WaitLine("another firewall agent runs on this host", 15*time.Second); err != nil {
		t.Error(err)
	}
	if err := second.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	hosts, err := c.ledger.Hosts(t.Context())
	if !slices.ContainsFunc(hosts, func(h redis.Host) bool { return h.Name == "b" && h.Firewall != nil && h.Firewall.State == "running" }) {
		t.Errorf("of host b is known %+v, %v", hosts, err)
	}
	if err := c.b.proc.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := c.b.proc.WaitLine(`"reloaded"`, 10*time.Second); err != nil {
		t.Error(err)
	}
}
