package dovecotpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestBadRequests(t *testing.T) {
	cfg := testConfig()
	cfg.MaxBody = 4096
	for _, c := range []struct {
		name, request string
		code          int
		reason        malformed
		header        string // that the answer has
	}{
		{"GET", "GET /?command=allow HTTP/1.1\r\nHost: x\r\n\r\n", 405, badMethod, "Allow"},
		{"PUT", "PUT /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 405, badMethod, "Allow"},
		{"no command", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 400, badCommand, ""},
		{"another command", "POST /?command=forget HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 400, badCommand, ""},
		{"no JSON", "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n<x>\x1b[1m", 400, badJSON, ""},
		{"no body", "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400, badJSON, ""},
		{"a wrong type", "POST /?command=report HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"success\":1}", 422, badType, ""},
		{"no success", "POST /?command=report HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 422, noSuccess, ""},
		{"a body too long", "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n" + strings.Repeat(" ", 4097), 413, bodyTooLarge, ""},
		{"a chunked body too long", "POST /?command=allow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n" + strings.Repeat(" ", 4097) + "\r\n0\r\n\r\n", 413, bodyTooLarge, ""},
		{"headers too long", "POST /?command=allow HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", headerSize) + "\r\n\r\n", 431, headerTooLarge, ""},
		{"no HTTP", "EHLO \x1b[31mmail.example.org\r\n\r\n", 400, badHTTP, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge := new(fakeJudge)
			s, l, logs := start(t, cfg, judge, nil)
			conn := dial(t, l)
			conn.send(c.request)
			r, body := conn.answer()
			var answer map[string]string
			if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer) != 1 || answer["error"] == "" {
				t.Errorf("answer %q", body)
			}
			if r.StatusCode != c.code || c.header != "" && r.Header.Get(c.header) == "" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if n := testutil.ToFloat64(s.metrics.malformed[c.reason]); n != 1 {
				t.Errorf("%v counted as %s", n, malformedNames[c.reason])
			}
			if len(judge.seen()) > 0 {
				t.Error("it was judged")
			}
			lines := logs.FilterMessageSnippet("unreadable").All()
			if len(lines) != 1 || lines[0].ContextMap()["reason"] != malformedNames[c.reason] {
				t.Fatalf("logged: %v", logs.All())
			}
			for key, value := range lines[0].ContextMap() {
				if text := fmt.Sprint(value); strings.ContainsAny(text, "\x1b\r\n") || len(text) > 5*maxQuoted {
					t.Errorf("logged raw: %s=%q", key, text)
				}
			}
		})
	}
}

func TestComplaintsAreFew(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var later atomic.Int64
	s, err := New(testConfig(), new(fakeJudge), Options{Logger: zap.New(core), Now: func() time.Time {
		return time.Now().Add(time.Duration(later.Load()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, s, listenTCP(t)))
	for range 1000 {
		c.ask("allow", "{")
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
	later.Store(int64(complainEvery))
	c.ask("allow", "{")
	if all := logs.All(); len(all) != 2 || all[1].ContextMap()["left_out"] != int64(999) {
		t.Errorf("%v", all)
	}
}

func TestSlowLoris(t *testing.T) {
	cfg := testConfig()
	cfg.ReadTimeout = 200 * time.Millisecond
	s, l, _ := start(t, cfg, new(fakeJudge), nil)
	for name, request := range map[string]string{
		"headers": "POST /?command=allow HTTP/1.1\r\nHost:",
		"body":    "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
		"nothing": "",
	} {
		c := dial(t, l)
		c.send(request)
		begin := time.Now()
		// One byte now and then must not lengthen it.
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					if request != "" {
						c.Write([]byte(" "))
					}
				}
			}
		}()
		got, _ := io.ReadAll(c)
		close(stop)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: closed after %v", name, took)
		}
		if request != "" && len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if n := testutil.ToFloat64(s.metrics.malformed[timedOut]); n != 3 {
		t.Errorf("%v counted", n)
	}
}

func TestTooManyConnections(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 3
	s, l, logs := start(t, cfg, new(fakeJudge), nil)
	var conns []*conn
	for range 3 {
		c := dial(t, l)
		c.ask("allow", benchAllow)
		conns = append(conns, c)
	}
	if n, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Errorf("the fourth gets %d bytes", n)
	}
	if testutil.ToFloat64(s.metrics.overflow) != 1 || logs.FilterMessageSnippet("too many connections").Len() != 1 {
		t.Error("and nobody is told")
	}
	conns[0].Close()
	for begin := time.Now(); s.gate.open.Load() > 2; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("its place is not free again")
		}
	}
	if status := get(t, l, "X: y"); status != 200 {
		t.Error(status)
	}
}

// failingListener fails a few times, as one does without file descriptors.
type failingListener struct {
	net.Listener
	left int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOnAfterErrors(t *testing.T) {
	_, l, logs := start(t, testConfig(), new(fakeJudge), &failingListener{listenTCP(t), 4})
	if status := get(t, l, "X: y"); status != 200 {
		t.Error(status)
	}
	if logs.FilterMessageSnippet("accepting").Len() != 1 {
		t.Error("not logged")
	}
}

// Connections that say nothing do not keep Dovecot out; those that have asked stay.
func TestTheSilentMakeRoom(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 3
	s, l, _ := start(t, cfg, new(fakeJudge), nil)
	asks := dial(t, l)
	asks.ask("allow", benchAllow)
	silent, slow := dial(t, l), dial(t, l)
	if _, err := slow.Write([]byte("POST /?command=allow HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); s.gate.open.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("they are not let in")
		}
	}
	time.Sleep(ousted)
	more := dial(t, l)
	more.ask("allow", benchAllow)
	if n, err := silent.Read(make([]byte, 1)); err == nil {
		t.Errorf("the oldest of the silent is still there, and gets %d bytes", n)
	}
	last := dial(t, l)
	last.ask("allow", benchAllow)
	if n, err := slow.Read(make([]byte, 1)); err == nil {
		t.Errorf("the other is still there, and gets %d bytes", n)
	}
	asks.ask("allow", benchAllow)
	more.ask("allow", benchAllow)
	if n, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Errorf("one too many gets %d bytes", n)
	}
	if testutil.ToFloat64(s.metrics.overflow) != 1 {
		t.Error("nobody is told")
	}
}
