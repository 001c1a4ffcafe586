package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/configs"
)

// facts are a host on which everything is right.
func facts(t *testing.T) *host {
	t.Helper()
	conf, version, err := parseDoveconf("# 2.3.19 (x): y\nauth_policy_server_url = http://127.0.0.1:4001/\nauth_policy_hash_nonce = 00112233445566778899aabbccddeeff\n")
	if err != nil {
		t.Fatal(err)
	}
	c := configs.Default()
	return &host{
		o: Options{Config: c, Version: "1"}, at: time.Unix(10_000, 0), config: c,
		postfix: captured(t),
		dovecot: &dovecot{conf: conf, version: version},
		running: &running{address: "127.0.0.1:4002", health: admin.Health{Version: "1", Mode: "observe"}, figures: metrics(t, "process_start_time_seconds 9000\nsaslguard_dovecot_requests_total{command=\"allow\",answer=\"pass\"} 100\n")},
		state:   &stateFacts{dir: "/var/lib/saslguard", mode: 0o700, free: 1 << 40},
		units:   &unitFacts{units: parseUnits(testdata(t, "systemctl-show.txt"))},
		control: controlFacts{path: "/run/saslguard/control.sock", status: goodStatus()},
	}
}

// goodStatus is that of a cluster whose hosts agree.
func goodStatus() api.Status {
	at := "9990000-0"
	return api.Status{Host: "mx1", Version: "1", Mode: "observe", Store: "redis", Hosts: []api.Host{
		{Name: "mx1", Version: "1", Mode: "observe", Position: at, Firewall: &api.Agent{Backend: "nftables", State: "running", Position: at, Bans: 3}},
		{Name: "mx2", Version: "1", Mode: "observe", Position: at},
		{Name: "mx3"}, // of which only the agent speaks
	}}
}

// told has the saslguard that is asked say something else.
func told(change func(mx1, mx2 *api.Host)) func(*testing.T, *host) {
	return func(_ *testing.T, h *host) { change(&h.control.status.Hosts[0], &h.control.status.Hosts[1]) }
}

func metrics(t *testing.T, text string) figures {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	f, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func goodRedis() *redisFacts {
	return &redisFacts{servers: []redisServer{{address: "r", info: map[string]string{
		"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": "1", "maxmemory": "0", "used_memory": "1",
	}}}}
}

// add has the running saslguard have figures more.
func add(text string) func(*testing.T, *host) {
	return func(t *testing.T, h *host) {
		h.running.figures = metrics(t, "process_start_time_seconds 9000\nsaslguard_dovecot_requests_total{command=\"allow\",answer=\"pass\"} 100\n"+text)
	}
}

func server(name, value string) func(*testing.T, *host) {
	return func(_ *testing.T, h *host) { h.redis.servers[0].info[name] = value }
}

func unit(name, property, value string) func(*testing.T, *host) {
	return func(_ *testing.T, h *host) { h.units.units[name][property] = value }
}

// wrongFacts are what only a machine that runs can have wrong.
var wrongFacts = []struct {
	name  string
	spoil func(*testing.T, *host)
	id    string // "": nothing worse than info
	said  string
}{
	{"all is well", func(*testing.T, *host) {}, "", ""},
	{"it does not run", func(_ *testing.T, h *host) { h.running.err = errors.New("connection refused") }, "running", "connection refused"},
	{"a part fails", func(_ *testing.T, h *host) {
		h.running.health.Parts = []admin.Part{{Name: "bans", State: admin.Failing, Detail: "not all are known yet"}}
	}, "health-failing", "not all are known"},
	{"a part is degraded", func(_ *testing.T, h *host) {
		h.running.health.Parts = []admin.Part{{Name: "redis", State: admin.Degraded, Detail: "does not answer"}}
	}, "health-degraded", "does not answer"},
	{"an old program runs", func(_ *testing.T, h *host) { h.running.health.Version = "0.9" }, "same-version", "0.9"},
	{"not reloaded", func(_ *testing.T, h *host) { h.running.health.Mode = "enforce" }, "mode", "mode: observe is configured"},
	{"something else speaks", add("saslguard_dovecot_malformed_total{reason=\"json\"} 3\n"), "malformed", "3 requests"},
	{"a wrong key elsewhere", func(t *testing.T, h *host) {
		add("saslguard_dovecot_unauthorized_total 5\n")(t, h)
		h.dovecot = &dovecot{err: errNotInstalled}
	}, "dovecot-credentials", "5 requests"},
	{"a wrong key in the past", add("saslguard_dovecot_unauthorized_total 5\n"), "", "are right by now"},
	{"reports are dropped", add("saslguard_reports_dropped_total 7\n"), "losses", "7 reports"},
	{"the disk is full", add("saslguard_store_write_errors_total 2\n"), "losses", "2 times"},
	{"the brake", add("saslguard_brake_on 1\n"), "brake", "pause"},
	{"a proxy hides all", add("saslguard_attempts_by_origin_total{face=\"dovecot\",origin=\"private\"} 60\n"), "clients", "all 60 attempts"},
	{"a webmail beside others", add("saslguard_attempts_by_origin_total{face=\"dovecot\",origin=\"private\"} 60\nsaslguard_attempts_by_origin_total{face=\"dovecot\",origin=\"public\"} 1\n"), "", ""},
	{"Dovecot was not reloaded", func(t *testing.T, h *host) {
		h.running.figures = metrics(t, "process_start_time_seconds 9000\n")
	}, "dovecot-attempts", "17m"},
	{"only this program has asked Dovecot", func(t *testing.T, h *host) {
		h.running.figures = metrics(t, "process_start_time_seconds 9000\nsaslguard_dovecot_requests_total{command=\"allow\",answer=\"skipped\"} 30\n")
	}, "dovecot-attempts", "17m"},
	{"doveadm auth test", func(t *testing.T, h *host) { // of which Dovecot tells no client
		h.running.figures = metrics(t, "process_start_time_seconds 9000\nsaslguard_dovecot_requests_total{command=\"allow\",answer=\"skipped\"} 2\nsaslguard_dovecot_requests_total{command=\"report\",answer=\"skipped\"} 1\n")
	}, "", ""},
	{"it was only just started", func(t *testing.T, h *host) {
		h.running.figures = metrics(t, "process_start_time_seconds 9990\n")
	}, "", ""},
	{"Postfix was not reloaded", func(_ *testing.T, h *host) { h.postfix.answers["inet:127.0.0.1:10035"] = answer{action: "DUNNO"} }, "postfix-attempts", "17m"},
	{"only this program has asked Postfix's address", func(t *testing.T, h *host) {
		h.postfix.answers["inet:127.0.0.1:10035"] = answer{action: "DUNNO"}
		add("saslguard_postfix_requests_total{action=\"dunno\"} 9\nsaslguard_verdicts_total{face=\"postfix\",rule=\"allowed\"} 9\n")(t, h)
	}, "postfix-attempts", "17m"},
	{"one has come by Postfix", func(t *testing.T, h *host) {
		h.postfix.answers["inet:127.0.0.1:10035"] = answer{action: "DUNNO"}
		add("saslguard_postfix_requests_total{action=\"dunno\"} 4\nsaslguard_verdicts_total{face=\"postfix\",rule=\"allowed\"} 3\n")(t, h)
	}, "", ""},
	{"another has the port", func(_ *testing.T, h *host) {
		h.ports = []taken{{key: "dovecot.listen", address: "127.0.0.1:4001", listening: true, holder: "wforce"}}
	}, "ports", "wforce"},
	{"it listens elsewhere", func(_ *testing.T, h *host) {
		h.ports = []taken{{key: "dovecot.listen", address: "127.0.0.1:4001"}}
	}, "ports", "nobody listens"},
	{"systemd has the port", func(_ *testing.T, h *host) {
		h.ports = []taken{{key: "dovecot.listen", address: "127.0.0.1:4001", listening: true, holder: "systemd"}}
	}, "", ""},
	{"an open state directory", func(_ *testing.T, h *host) { h.state.mode = 0o755 }, "state-mode", "0755"},
	{"everybody may operate", func(_ *testing.T, h *host) { h.control.mode = 0o666 }, "control-socket", "0666"},
	{"a full disk", func(_ *testing.T, h *host) { h.state.free = 5 << 20 }, "state-space", "5 MiB"},
	{"an old Postfix", func(_ *testing.T, h *host) { h.postfix.version = "2.11.3" }, "postfix-version", "2.11.3"},
	{"an old Dovecot", func(_ *testing.T, h *host) { h.dovecot.version = "2.2.33" }, "dovecot-version", "2.2.33"},
	{"nobody answers Postfix", func(t *testing.T, h *host) {
		h.postfix.answers["inet:127.0.0.1:10035"] = answer{err: errors.New("connection refused")}
		h.running.figures = metrics(t, "process_start_time_seconds 9990\n")
	}, "postfix-answer", "connection refused"},
	{"nobody answers Dovecot", func(_ *testing.T, h *host) { h.dovecot.answer = errors.New("connection refused") }, "dovecot-answer", "connection refused"},
	{"the key is refused", func(_ *testing.T, h *host) { h.dovecot.answer, h.dovecot.status = errors.New("HTTP 401"), 401 }, "dovecot-credentials", "credentials"},
	{"no nonce", func(_ *testing.T, h *host) { h.dovecot.conf.settings["auth_policy_hash_nonce"] = "" }, "dovecot-nonce", "empty"},

	{"Redis is away", func(_ *testing.T, h *host) { h.redis = &redisFacts{err: errors.New("i/o timeout")} }, "redis-answers", "i/o timeout"},
	{"an old Redis", server("redis_version", "6.0.16"), "redis-version", "6.0.16"},
	{"Redis drops keys at will", server("maxmemory_policy", "allkeys-lru"), "redis-eviction", "allkeys-lru"},
	{"Redis drops what expires", server("maxmemory_policy", "volatile-ttl"), "", ""},
	{"Redis keeps nothing", server("aof_enabled", "0"), "redis-persistence", "nothing to disk"},
	{"Redis keeps snapshots", func(_ *testing.T, h *host) {
		h.redis.servers[0].info["aof_enabled"], h.redis.servers[0].save = "0", "3600 1"
	}, "redis-persistence", "3600 1"},
	{"Redis is full", func(_ *testing.T, h *host) {
		h.redis.servers[0].info["maxmemory"], h.redis.servers[0].info["used_memory"] = "100000000", "95000000"
	}, "redis-memory", "90 MiB of the 95 MiB"},
	{"the clocks are apart", func(_ *testing.T, h *host) { h.redis.servers[0].skew = -5 * time.Second }, "redis-clock", "5s apart"},
	{"a slow answer is no skew", func(_ *testing.T, h *host) {
		h.redis.servers[0].skew, h.redis.servers[0].unsure = 3*time.Second, 2*time.Second
	}, "", ""},
	{"everybody reads the password", func(_ *testing.T, h *host) { h.redis.file = 0o644 }, "redis-password", "0644"},

	{"not started at boot", unit("saslguard.service", "UnitFileState", "disabled"), "unit", "disabled"},
	{"the unit has failed", unit("saslguard.service", "ActiveState", "failed"), "unit", "has failed"},
	{"no unit", unit("saslguard.service", "LoadState", "not-found"), "", ""},
	{"the agent has failed", unit("saslguard-firewall.service", "ActiveState", "failed"), "firewall-unit", "has failed"},
	{"the agent has no rights", unit("saslguard-firewall.service", "AmbientCapabilities", ""), "firewall-rights", "CAP_NET_ADMIN"},
	{"systemd is silent", func(_ *testing.T, h *host) { h.units = &unitFacts{err: errors.New("host is down")} }, "", ""},
	{"nobody answers at the control socket", func(_ *testing.T, h *host) {
		h.control = controlFacts{err: errors.New("no saslguard runs here, or its control socket is somewhere else (--socket): there is none at /run/saslguard/control.sock")}
	}, "control-answers", "there is none at /run/saslguard"},
	{"nobody runs, so nobody answers", func(_ *testing.T, h *host) {
		h.running.err, h.control = errors.New("refused"), controlFacts{err: errors.New("none")}
	}, "running", "--socket PATH"},
	{"the control socket is not ours to open", func(_ *testing.T, h *host) {
		h.control = controlFacts{err: fmt.Errorf("control.sock: %w", fs.ErrPermission)}
	}, "", ""},
	{"a name is not resolved", func(_ *testing.T, h *host) {
		h.control.names = []api.Entry{{Name: "home.example.org", Unresolved: "no such host"}}
	}, "allow-names", "no such host"},
	{"another host has another version", told(func(_, mx2 *api.Host) { mx2.Version = "2" }), "cluster-version", "mx2 2"},
	{"another host enforces", told(func(_, mx2 *api.Host) { mx2.Mode = "enforce" }), "cluster-mode", "mx2 enforce"},
	{"another host is behind", told(func(_, mx2 *api.Host) { mx2.Lag = 40 }), "cluster-lag", "mx2"},
	{"another host is behind for a moment", told(func(_, mx2 *api.Host) { mx2.Lag = 0.4 }), "", ""},
	{"Redis is away", func(_ *testing.T, h *host) {
		h.control.status.Note, h.control.status.Hosts[1].Version = "Redis does not answer", "2"
	}, "", ""},
	{"the agent is silent", told(func(mx1, _ *api.Host) { mx1.Firewall = nil }), "firewall-agent", "none says that it is there"},
	{"the agent fails", told(func(mx1, _ *api.Host) { mx1.Firewall.State, mx1.Firewall.Error = "failing", "no such table" }), "firewall-agent", "no such table"},
	{"the agent pauses", told(func(mx1, _ *api.Host) { mx1.Firewall.State = "paused" }), "firewall-agent", "resume"},
	{"the agent had an error", told(func(mx1, _ *api.Host) { mx1.Firewall.Error = "2 bans were not taken" }), "firewall-agent", "2 bans were not taken"},
	{"the agent is behind", told(func(mx1, _ *api.Host) { mx1.Firewall.Position = "9000000-0"; mx1.Position = "9900000-0" }), "firewall-agent", "1m40s ago"},
	{"the agent is behind for a moment", told(func(mx1, _ *api.Host) { mx1.Firewall.Position = "9000000-0"; mx1.Position = "9999000-0" }), "", ""},
	{"the agent only says", told(func(mx1, _ *api.Host) { mx1.Firewall.Backend = "dryrun" }), "", ""},
	{"no agent is wanted", func(_ *testing.T, h *host) { h.units, h.control.status.Hosts[0].Firewall = nil, nil }, "", ""},
	{"no nf_tables", func(_ *testing.T, h *host) { h.kernel.err = unix.EPROTONOSUPPORT }, "kernel", "no nf_tables"},
	{"nf_tables not to be seen", func(_ *testing.T, h *host) { h.kernel.err = unix.EPERM }, "", ""},
}

func TestWrongFacts(t *testing.T) {
	for _, c := range wrongFacts {
		t.Run(c.name, func(t *testing.T) {
			h := facts(t)
			h.redis = goodRedis()
			c.spoil(t, h)
			r := new(Report)
			for _, check := range []func(*Report, *host){checkConfig, checkRunning, checkFigures, checkPorts, checkState, checkControl, checkCluster, checkNames, checkRedis, checkUnits, checkAgent, checkKernel, checkNonce, checkQuestions} {
				check(r, h)
			}
			checkVersionsAndAnswers(r, h)
			ids := map[string]bool{}
			for _, f := range r.Findings {
				if f.Severity > Info {
					ids[f.ID] = true
				}
			}
			if len(ids) != min(1, len(c.id)) || c.id != "" && !ids[c.id] {
				t.Fatalf("found %v, want %q:\n%s", ids, c.id, said(r))
			}
			if !strings.Contains(said(r), c.said) {
				t.Errorf("nothing says %q:\n%s", c.said, said(r))
			}
		})
	}
}

// checkVersionsAndAnswers keeps what checkPostfix and checkDovecot say of
// versions and answers; what they say of settings is TestWrongSettings'.
func checkVersionsAndAnswers(r *Report, h *host) {
	all := new(Report)
	checkPostfix(all, h)
	checkDovecot(all, h)
	all.Keep([]string{"postfix-version", "dovecot-version", "dovecot-answer", "dovecot-credentials"}, nil)
	r.Findings = append(r.Findings, all.Findings...)
}

// Each kind that can be found is found by one of the tables, and each has what
// people need.
func TestEveryKind(t *testing.T) {
	produced := map[string]bool{}
	for _, c := range wrongSettings {
		for id := range strings.FieldsSeq(c.id) {
			produced[id] = true
		}
	}
	for _, c := range wrongFacts {
		produced[c.id] = true
	}
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.Severity > Info && !produced[k.ID] {
			t.Errorf("no test finds %s", k.ID)
		}
		if seen[k.ID] || k.Symptom == "" || k.Why == "" || k.Mend == "" || k.Severity == OK {
			t.Errorf("%+v is there twice, or says too little", k)
		}
		seen[k.ID] = true
	}
}

func TestReports(t *testing.T) {
	r := new(Report)
	r.ok("kernel", "", "fine")
	r.wrong("running", "\x1b[31mred", "line 1\nline 2\x07", "%s", strings.Repeat("long ", 1000))
	r.info("unit", "", "", "so")
	r.sort()
	f := r.Findings[0]
	if f.ID != "running" || f.Subject != "?[31mred" || f.Fix != "line 1\nline 2?" || len([]rune(f.Found)) != maxFound+1 || r.Worst() != Error {
		t.Errorf("%+v", f)
	}
	r.Keep(nil, []string{"running"})
	if len(r.Findings) != 2 || r.Worst() != Info {
		t.Errorf("ignored: %+v", r.Findings)
	}
	r.Keep([]string{"kernel"}, nil)
	if len(r.Findings) != 1 || r.Worst() != OK {
		t.Errorf("only: %+v", r.Findings)
	}
	var s Severity
	if err := s.UnmarshalText([]byte("error")); err != nil || s != Error || s.UnmarshalText([]byte("bad")) == nil {
		t.Errorf("%v", err)
	}
}

func TestSessionPrefix(t *testing.T) {
	for session, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "::ffff:192.0.2.7": "192.0.2.7/32",
		"fe80::1%eth0": "", "127.0.0.1": "", "::1": "", "0.0.0.0": "", "": "", "mx; rm -rf /": "", "10.0.0.1": "10.0.0.1/32",
	} {
		p, ok := SessionPrefix(session)
		if ok != (want != "") || ok && p.String() != want {
			t.Errorf("%q is %v, %t", session, p, ok)
		}
	}
}

func TestTheSessionIsProposed(t *testing.T) {
	h := facts(t)
	h.o.Session = "2001:db8:1:2:3:4:5:6"
	r := new(Report)
	checkSession(r, h)
	if f := r.Findings[0]; f.Severity != Info || !strings.Contains(f.Fix, `allow_clients: [127.0.0.0/8, "::1/128", 2001:db8:1:2::/64]`) {
		t.Errorf("%+v", f)
	}
	h.o.Session = "127.0.0.1"
	r = new(Report)
	if checkSession(r, h); len(r.Findings) > 0 {
		t.Errorf("loopback: %+v", r.Findings)
	}
	h.o.Session, h.config.Rules.AllowClients = "192.0.2.7", []string{"192.0.2.0/24"}
	if checkSession(r, h); r.Findings[0].Severity != OK {
		t.Errorf("on the list: %+v", r.Findings)
	}
}

// Nobody who may not connect is said to be able to.
func TestSocketPermissions(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/socket"
	if got := closed(path, "nobody"); !strings.Contains(got, "is not there") {
		t.Errorf("none: %q", got)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	for mode, may := range map[fs.FileMode]bool{0o666: true, 0o602: true, 0o600: false, 0o664: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := closed(path, "nobody"); (got == "") != may {
			t.Errorf("%04o: %q", mode, got)
		}
	}
	if got := closed(dir, "nobody"); !strings.Contains(got, "is no socket") {
		t.Errorf("a directory: %q", got)
	}
	if err := os.Chown(path, 65534, -1); err == nil { // as root
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := closed(path, "nobody"); got != "" {
			t.Errorf("its own: %q", got)
		}
	}
}

func TestIDsAreSortedOut(t *testing.T) {
	if ids := IDs(); !slices.Contains(ids, "postfix-asks") || len(ids) != len(Kinds()) {
		t.Errorf("%v", ids)
	}
}
