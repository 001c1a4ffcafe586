package policy

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
)

// fakeJudge remembers what it was asked and told.
type fakeJudge struct {
	verdict func(ctx context.Context, a guard.Attempt) guard.Verdict // nil: all pass

	mu      sync.Mutex
	asked   []guard.Attempt
	reports []guard.Attempt
}

func (j *fakeJudge) Check(ctx context.Context, a *guard.Attempt) guard.Verdict {
	j.mu.Lock()
	j.asked = append(j.asked, *a)
	j.mu.Unlock()
	if j.verdict == nil {
		return guard.Verdict{}
	}
	return j.verdict(ctx, *a)
}

func (j *fakeJudge) Report(a guard.Attempt) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reports = append(j.reports, a)
	return true
}

// take returns what was asked and told since the last call.
func (j *fakeJudge) take() (asked, reports []guard.Attempt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	asked, reports = j.asked, j.reports
	j.asked, j.reports = nil, nil
	return asked, reports
}

func always(v guard.Verdict) func(context.Context, guard.Attempt) guard.Verdict {
	return func(context.Context, guard.Attempt) guard.Verdict { return v }
}

func testConfig() Config {
	return Config{
		RefuseCode:     421,
		RefuseText:     "4.7.0 Too many failed logins, try again later",
		Contexts:       []Context{{"submission", "all"}, {"submissions", "all"}, {"mx", "operator"}},
		MaxConnections: 100,
		MaxRequest:     16384,
		IdleTimeout:    time.Minute,
		ReadTimeout:    5 * time.Second,
	}
}

const (
	declinedAnswer = "action=DUNNO\n\n"
	refusedAnswer  = "action=421 4.7.0 Too many failed logins, try again later\n\n"
)

// running is a server with its metrics and logs.
type running struct {
	*Server
	tcp, unix string
	registry  *prometheus.Registry
	logs      *observer.ObservedLogs
	served    chan error
}

func start(t testing.TB, cfg Config, judge Judge) *running {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	r := &running{registry: prometheus.NewRegistry(), logs: logs, served: make(chan error, 1)}
	var err error
	if r.Server, err = New(cfg, judge, Options{Logger: zap.New(core), Registerer: r.registry}); err != nil {
		t.Fatal(err)
	}
	r.unix = filepath.Join(t.TempDir(), "policy")
	ls, err := listen.Open(listen.Config{Listen: []string{"127.0.0.1:0", "unix:" + r.unix}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.tcp = ls[0].Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.served <- r.Serve(ctx, ls) }()
	t.Cleanup(func() {
		cancel()
		bound, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := r.Shutdown(bound); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return r
}

// metric is the value of a counter or gauge, "name" or "name{label}".
func (r *running) metric(t testing.TB, name string) float64 {
	t.Helper()
	name, label, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "saslguard_postfix_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// client is a connection as an smtpd process has one.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, network, address string) *client {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{conn, bufio.NewReader(conn)}
}

func (c *client) send(t testing.TB, request string) {
	t.Helper()
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
}

// answer reads up to the empty line, or what comes before the end.
func (c *client) answer() string {
	var all []byte
	for {
		line, err := c.r.ReadBytes('\n')
		all = append(all, line...)
		if err != nil || string(line) == "\n" {
			return string(all)
		}
	}
}

func (c *client) ask(t testing.TB, request string) string {
	t.Helper()
	c.send(t, request)
	return c.answer()
}

// eventually waits for what happens in another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// connect is a question at CONNECT on submission, with an attribute more or
// changed for each name=value in more.
func connect(more ...string) string { return question("CONNECT", more...) }

func question(state string, more ...string) string {
	lines := []string{"request=smtpd_access_policy", "protocol_state=" + state, "client_address=192.0.2.4",
		"client_port=40000", "server_port=587", "instance=", "sasl_username=", "policy_context=submission"}
	return strings.Join(append(lines, more...), "\n") + "\n\n"
}

// captured is a file of testdata/policy: lines that begin with "# " say what is
// expected of the request below them.
type captured struct {
	name                   string
	ask, report, malformed string
	request                []byte
}

func loadCaptured(t testing.TB) []captured {
	t.Helper()
	files, err := filepath.Glob("../testdata/policy/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured requests: %v", err)
	}
	var all []captured
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := captured{name: strings.TrimSuffix(filepath.Base(file), ".txt"), request: content}
		for {
			comment, ok := bytes.CutPrefix(c.request, []byte("# "))
			if !ok {
				break
			}
			line, rest, _ := bytes.Cut(comment, []byte("\n"))
			c.request = rest
			key, value, _ := strings.Cut(string(line), ": ")
			switch key {
			case "ask":
				c.ask = value
			case "report":
				c.report = value
			case "malformed":
				c.malformed = value
			}
		}
		all = append(all, c)
	}
	return all
}
