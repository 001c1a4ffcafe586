package dovecotpolicy

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/guard"
)

// start serves a configuration on a listener, or on loopback if that is nil.
func start(t testing.TB, cfg Config, judge Judge, l net.Listener) (*Server, net.Listener, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	s, err := New(cfg, judge, Options{Logger: zap.New(core), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if l == nil {
		l = listenTCP(t)
	}
	return s, serve(t, s, l), logs
}

// conn is a connection to a server.
type conn struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func dial(t testing.TB, l net.Listener) *conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newConn(t, c)
}

func newConn(t testing.TB, c net.Conn) *conn {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &conn{c, bufio.NewReader(c), t}
}

func (c *conn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one.
func (c *conn) answer() (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r, string(body)
}

// ask sends a request and reads the answer.
func (c *conn) ask(command, body string, headers ...string) (*http.Response, string) {
	c.t.Helper()
	text := string(httpRequest(command, body))
	for _, h := range headers {
		text = strings.Replace(text, "\r\n\r\n", "\r\n"+h+"\r\n\r\n", 1)
	}
	c.send(text)
	return c.answer()
}

// get asks on a connection of its own and returns the status.
func get(t testing.TB, l net.Listener, header string) int {
	t.Helper()
	r, _ := dial(t, l).ask("allow", benchAllow, header)
	return r.StatusCode
}

const (
	wantPass   = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n" + `{"status":0,"msg":""}`
	wantRefuse = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n" +
		`{"status":-1,"msg":"Too many failed logins. Try again later."}`
)

func TestBytesOfAnAnswer(t *testing.T) {
	judge := &fakeJudge{verdict: guard.Verdict{Action: guard.Refuse}}
	_, l, _ := start(t, testConfig(), judge, nil)
	c := dial(t, l)
	for _, q := range []struct{ command, body, want string }{
		{"allow", benchAllow, wantRefuse}, {"report", benchReport, wantPass},
	} {
		c.send(string(httpRequest(q.command, q.body)))
		got := make([]byte, len(q.want))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != q.want {
			t.Errorf("%q, %v\nwant %q", got, err, q.want)
		}
		if c.r.Buffered() > 0 {
			t.Error("and more")
		}
	}
}

func TestRequestForms(t *testing.T) {
	judge := new(fakeJudge)
	_, l, _ := start(t, testConfig(), judge, nil)
	body := benchAllow
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, request := range map[string]string{
		"a path":               "POST /saslguard/dovecot?command=allow HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body,
		"a URL that ends in &": "POST /?host=mx1&command=allow HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body,
		"absolute form (2.4)":  "POST http://saslguard.local/p?command=allow HTTP/1.1\r\nHost: saslguard.local\r\n" + length + "\r\n" + body,
		"another content type": "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n" + length + "\r\n" + body,
		"no content type":      "POST /?command=allow HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body,
		"lower-case headers":   "POST /?command=allow HTTP/1.1\r\nhost: x\r\n" + strings.ToLower(length) + "\r\n" + body,
		"chunked":              fmt.Sprintf("POST /?command=allow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"HTTP/1.0":             "POST /?command=allow HTTP/1.0\r\n" + length + "\r\n" + body,
		"a Date that is none":  "POST /?command=allow HTTP/1.1\r\nHost: x\r\nDate: yesterday\r\n" + length + "\r\n" + body,
		"a Date of long ago":   "POST /?command=allow HTTP/1.1\r\nHost: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" + length + "\r\n" + body,
		"an expectation":       "POST /?command=allow HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + length + "\r\n" + body,
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, l)
			c.send(request)
			r, got := c.answer()
			if r.StatusCode == http.StatusContinue {
				r, got = c.answer()
			}
			if r.StatusCode != http.StatusOK || got != `{"status":0,"msg":""}` {
				t.Errorf("%d %s", r.StatusCode, got)
			}
			seen := judge.seen()
			if len(seen) != 1 || seen[0].Login != "alice@example.org" || seen[0].Stale != strings.Contains(name, "long ago") {
				t.Errorf("judged: %+v", seen)
			}
		})
	}
}

func TestKeepAlive(t *testing.T) {
	judge := new(fakeJudge)
	s, l, _ := start(t, testConfig(), judge, nil)
	c := dial(t, l)
	for i := range 500 {
		login := fmt.Sprintf("user%d@example.org", i)
		if r, _ := c.ask("allow", strings.Replace(benchAllow, "alice@example.org", login, 1)); r.Close {
			t.Fatal("the server closes the connection")
		}
		c.ask("report", strings.Replace(benchReport, "alice@example.org", login, 1))
		if i%100 == 0 { // an error is no reason to close
			if r, _ := c.ask("report", "{}"); r.StatusCode != 422 || r.Close {
				t.Fatal(r.StatusCode, r.Close)
			}
		}
	}
	if n := s.gate.open.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	// What was queued must not have changed with the buffers it was read into.
	for i, a := range judge.told {
		want := fmt.Sprintf("user%d@example.org", i)
		if a.Login != want || a.Hash != "0c5a" || a.Session != "6Ig0pNNgUsN/AAAB" || judge.asked[i].Login != want {
			t.Fatalf("%d: %+v", i, a)
		}
	}
}

// A log line without the right credentials says where they belong.
func TestUnauthorizedIsExplained(t *testing.T) {
	cfg := testConfig()
	cfg.APIKey = "sesame"
	_, l, logs := start(t, cfg, new(fakeJudge), nil)
	get(t, l, "X-API-Key: wrong")
	if all := logs.All(); len(all) != 1 || !strings.Contains(all[0].Message, "auth_policy_server_api_header must carry dovecot.api_key") {
		t.Errorf("logged: %v", all)
	}
}

func TestCredentials(t *testing.T) {
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	for _, c := range []struct {
		key, user, password string
		header              string
		want                int
	}{
		{"", "", "", "", 200},
		{"", "", "", "X-API-Key: whatever", 200},
		{"sesame", "", "", "X-API-Key: sesame", 200},
		{"sesame", "", "", "x-api-key:sesame", 200},
		{"sesame", "", "", "X-API-Key:  sesame ", 200}, // as with `X-API-Key: sesame` in 2.3
		{"sesame", "", "", "", 401},
		{"sesame", "", "", "X-API-Key:", 401},
		{"sesame", "", "", "X-API-Key: Sesame", 401},
		{"sesame", "", "", "X-API-Key: sesame2", 401},
		{"sesame", "", "", basic("sesame:"), 401},
		{"", "dovecot", "p:w", basic("dovecot:p:w"), 200},
		{"", "dovecot", "p:w", strings.Replace(basic("dovecot:p:w"), "Basic", "bASIC", 1), 200},
		{"", "dovecot", "p:w", basic("dovecot:pw"), 401},
		{"", "dovecot", "p:w", basic(":p:w"), 401},
		{"", "dovecot", "p:w", "Authorization: Bearer x", 401},
		{"", "dovecot", "p:w", "Authorization: Basic", 401},
		{"", "dovecot", "p:w", "X-API-Key: p:w", 401},
		{"", "dovecot", "p:w", "", 401},
		{"sesame", "dovecot", "pw", "X-API-Key: sesame", 200},
		{"sesame", "dovecot", "pw", basic("dovecot:pw"), 200},
		{"sesame", "dovecot", "pw", "X-API-Key: wrong\r\n" + basic("dovecot:pw"), 200},
		{"sesame", "dovecot", "pw", "X-API-Key: wrong\r\n" + basic("dovecot:wrong"), 401},
	} {
		cfg := testConfig()
		cfg.APIKey, cfg.User, cfg.Password = c.key, c.user, c.password
		judge := new(fakeJudge)
		s, l, _ := start(t, cfg, judge, nil)
		header := c.header
		if header == "" {
			header = "X: y"
		}
		conn := dial(t, l)
		r, body := conn.ask("allow", benchAllow, header)
		if r.StatusCode != c.want || len(judge.seen()) != map[int]int{200: 1, 401: 0}[c.want] {
			t.Errorf("%+v: %d %s", c, r.StatusCode, body)
		}
		if c.want == 401 {
			if body != `{"error":"X-API-Key or Authorization: Basic is missing or wrong"}` || r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%+v: %s", c, body)
			}
			if testutil.ToFloat64(s.metrics.unauthorized) != 1 {
				t.Error("not counted")
			}
		}
	}
}

func TestReload(t *testing.T) {
	judge := &fakeJudge{verdict: guard.Verdict{Action: guard.Refuse}}
	cfg := testConfig()
	s, l, _ := start(t, cfg, judge, nil)
	c := dial(t, l)
	c.ask("allow", benchAllow)
	cfg.RefuseMessage, cfg.APIKey = "Go away (it's over).", "sesame"
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if r, _ := c.ask("allow", benchAllow); r.StatusCode != 401 {
		t.Errorf("without the new key: %d", r.StatusCode)
	}
	if _, got := c.ask("allow", benchAllow, "X-API-Key: sesame"); got != `{"status":-1,"msg":"Go away (it's over)."}` {
		t.Error(got)
	}
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, "a")
	if err := s.Reload(cfg); err == nil {
		t.Error("TLS was switched on without a restart")
	}
}

func TestFault(t *testing.T) {
	judge := &fakeJudge{before: func(context.Context) { panic("bo\no") }}
	s, l, logs := start(t, testConfig(), judge, nil)
	c := dial(t, l)
	for range 3 {
		if r, got := c.ask("allow", benchAllow); r.StatusCode != 500 || got != `{"error":"fault in saslguard, see its log"}` {
			t.Error(r.StatusCode, got)
		}
	}
	if r, _ := c.ask("report", benchReport); r.StatusCode != 200 {
		t.Error("and reports fail too")
	}
	if n := testutil.ToFloat64(s.metrics.requests[allow][panicked]); n != 3 {
		t.Errorf("%v counted", n)
	}
	if lines := logs.FilterMessage("fault while answering Dovecot").All(); len(lines) != 1 || lines[0].ContextMap()["panic"] != "bo\uFFFDo" {
		t.Errorf("logged: %v", lines)
	}
}
