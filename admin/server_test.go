package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zaptest"
)

func TestServer(t *testing.T) {
	parts := []Part{{Name: "store", State: OK}}
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "saslguard_test_total", Help: "A test."})
	reg.MustRegister(counter)
	counter.Inc()
	s := New(Options{Gatherer: reg, Logger: zaptest.NewLogger(t), Health: func() Health {
		return Health{Version: "1.2.3", Mode: "observe", Parts: parts}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if code, body := get("GET", "/metrics"); code != 200 || !strings.Contains(body, "saslguard_test_total 1") {
		t.Errorf("metrics: %d %s", code, body)
	}
	var h Health
	if code, body := get("GET", "/healthz"); code != 200 || json.Unmarshal([]byte(body), &h) != nil || h.State != OK || h.Version != "1.2.3" {
		t.Errorf("health: %d %s", code, body)
	}
	parts = append(parts, Part{Name: "redis", State: Degraded, Detail: "does not answer"})
	if code, body := get("GET", "/healthz"); code != 200 || json.Unmarshal([]byte(body), &h) != nil || h.State != Degraded {
		t.Errorf("without Redis: %d %s", code, body)
	}
	parts = append(parts, Part{Name: "dovecot", State: Failing, Detail: "stopped"}, Part{Name: "store", State: OK})
	if code, body := get("GET", "/healthz"); code != 503 || json.Unmarshal([]byte(body), &h) != nil || h.State != Failing {
		t.Errorf("ill health: %d %s", code, body)
	}
	if code, _ := get("POST", "/healthz"); code != 405 {
		t.Errorf("POST: %d", code)
	}
	if code, _ := get("GET", "/"); code != 404 {
		t.Errorf("no such page: %d", code)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
