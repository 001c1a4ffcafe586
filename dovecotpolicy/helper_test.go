package dovecotpolicy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
)

var _ Judge = (*guard.Guard)(nil)

// testConfig is a configuration that passes its Check.
func testConfig() Config {
	return Config{
		HashMech:       "sha256",
		HashTruncate:   12,
		RefuseMessage:  "Too many failed logins. Try again later.",
		MaxConnections: 1000,
		MaxBody:        64 << 10,
		IdleTimeout:    30 * time.Second,
		ReadTimeout:    5 * time.Second,
		StaleAfter:     2 * time.Second,
	}
}

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves on a listener until the test ends.
func serve(t testing.TB, s *Server, l net.Listener) net.Listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []net.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

// httpRequest is a request as Dovecot sends it.
func httpRequest(command, body string) []byte {
	return fmt.Appendf(nil, "POST /?command=%s HTTP/1.1\r\nHost: 127.0.0.1:4001\r\nDate: %s\r\n"+
		"User-Agent: dovecot/auth-policy-client\r\nContent-Length: %d\r\nConnection: Keep-Alive\r\n"+
		"Content-Type: application/json\r\n\r\n%s",
		command, time.Now().UTC().Format(http.TimeFormat), len(body), body)
}

// fakeJudge gives one verdict and keeps what it was asked and told.
type fakeJudge struct {
	mu      sync.Mutex
	verdict guard.Verdict
	full    bool                      // the queue is
	before  func(ctx context.Context) // of a verdict; may be nil
	asked   []guard.Attempt
	told    []guard.Attempt
}

func (j *fakeJudge) Check(ctx context.Context, a *guard.Attempt) guard.Verdict {
	if j.before != nil {
		j.before(ctx)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, *a)
	return j.verdict
}

func (j *fakeJudge) Report(a guard.Attempt) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.told = append(j.told, a)
	return !j.full
}

// seen returns everything asked and told, and forgets it.
func (j *fakeJudge) seen() []guard.Attempt {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := append(j.asked, j.told...)
	j.asked, j.told = nil, nil
	return all
}

// newTestAnswerer returns the answering alone, with the settings of a
// configuration.
func newTestAnswerer(t testing.TB, cfg Config, judge Judge) (*answerer, *settings) {
	t.Helper()
	set, err := newSettings(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(nil, func() float64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	return newAnswerer(judge, m), set
}
