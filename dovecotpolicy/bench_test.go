package dovecotpolicy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/guard"
)

// benchConns is how many connections ask at once.
const benchConns = 64

const (
	benchAllow  = `{"device_id":"","login":"alice@example.org","mech":"PLAIN","protocol":"imap","pwhash":"0ccf","remote":"203.0.113.9","session_id":"HAONS9Ng2KJ/AAAB","tls":false}`
	benchReport = `{"device_id":"","fail_type":"credentials","login":"alice@example.org","mech":"PLAIN","protocol":"imap","pwhash":"0c5a","remote":"203.0.113.9","session_id":"6Ig0pNNgUsN/AAAB","success":false,"policy_reject":false,"tls":false}`
)

// idleJudge has an opinion at once.
type idleJudge struct{ reports atomic.Int64 }

func (j *idleJudge) Check(context.Context, *guard.Attempt) guard.Verdict { return guard.Verdict{} }
func (j *idleJudge) Report(guard.Attempt) bool                           { j.reports.Add(1); return true }

// The ratios to a bare net/http server that decodes the same JSON. The two take
// turns within each run, so that both have the same machine.
func BenchmarkAllow(b *testing.B)  { benchmarkRatio(b, "allow", benchAllow) }
func BenchmarkReport(b *testing.B) { benchmarkRatio(b, "report", benchReport) }

func benchmarkRatio(b *testing.B, command, body string) {
	ours := dialBench(b, startBench(b), command, body)
	bare := dialBench(b, startBare(b), command, body)
	const turn = 4096
	ours.run(b, turn)
	bare.run(b, turn)
	var tOurs, tBare time.Duration
	turns := 0
	for b.Loop() {
		tOurs += ours.run(b, turn)
		tBare += bare.run(b, turn)
		turns++
	}
	per := func(d time.Duration) float64 { return float64(turns*turn) / d.Seconds() }
	b.ReportMetric(per(tOurs), "saslguard/s")
	b.ReportMetric(per(tBare), "net/http/s")
	b.ReportMetric(per(tOurs)/per(tBare), "ratio")
}

// Each server by itself, for profiles and allocations of a request.
func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct{ command, body string }{{"allow", benchAllow}, {"report", benchReport}} {
		for _, s := range []struct {
			name  string
			start func(testing.TB) string
		}{{"saslguard", startBench}, {"nethttp", startBare}} {
			b.Run(c.command+"/"+s.name, func(b *testing.B) {
				client := dialBench(b, s.start(b), c.command, c.body)
				client.run(b, benchConns)
				b.ReportAllocs()
				b.ResetTimer()
				client.run(b, max(b.N, benchConns))
			})
		}
	}
}

// The answering alone.
func BenchmarkAnswer(b *testing.B) {
	cfg := testConfig()
	set, err := newSettings(&cfg)
	if err != nil {
		b.Fatal(err)
	}
	m, err := newMetrics(nil, func() float64 { return 0 })
	if err != nil {
		b.Fatal(err)
	}
	a := newAnswerer(new(idleJudge), m)
	date := []byte(time.Now().UTC().Format(http.TimeFormat))
	for _, r := range []request{{allow, date, []byte(benchAllow)}, {report, date, []byte(benchReport)}} {
		b.Run(commandNames[r.command], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := a.answer(set, &r, time.Now()); got.code != http.StatusOK {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchReport)))
	body := []byte(benchReport)
	for b.Loop() {
		if _, err := parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

// startBench starts a server and returns its address.
func startBench(b testing.TB) string {
	s, err := New(testConfig(), new(idleJudge), Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	return serve(b, s, listenTCP(b)).Addr().String()
}

// startBare starts what one would write in a minute.
func startBare(b testing.TB) string {
	l := listenTCP(b)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Login          string `json:"login"`
			Hash           string `json:"pwhash"`
			Remote         string `json:"remote"`
			Device         string `json:"device_id"`
			Protocol       string `json:"protocol"`
			Session        string `json:"session_id"`
			FailType       string `json:"fail_type"`
			Mechanism      string `json:"mech"`
			Success        bool   `json:"success"`
			PolicyRejected bool   `json:"policy_reject"`
			TLS            bool   `json:"tls"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, `{"status":0,"msg":""}`)
	})}
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// benchClient asks one question over and over, and spends as little as it can
// on it, so that what is measured is the server.
type benchClient struct {
	question []byte
	conns    []net.Conn
	readers  []*bufio.Reader
}

func dialBench(b testing.TB, address, command, body string) *benchClient {
	c := &benchClient{question: httpRequest(command, body)}
	for range benchConns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
		c.readers = append(c.readers, bufio.NewReaderSize(conn, 1024))
	}
	return c
}

// run asks n times over all connections and returns how long it took.
func (c *benchClient) run(b *testing.B, n int) time.Duration {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	start := time.Now()
	for i := range c.conns {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := c.ask(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

var (
	statusOK    = []byte("HTTP/1.1 200 OK\r\n")
	endOfAnswer = []byte(`"msg":""}`)
)

func (c *benchClient) ask(i int) error {
	if _, err := c.conns[i].Write(c.question); err != nil {
		return err
	}
	// The answer comes in one piece on loopback, or in a few.
	var all []byte
	for n := 1; ; n++ {
		piece, err := c.readers[i].Peek(n)
		if err != nil {
			return err
		}
		all, _ = c.readers[i].Peek(c.readers[i].Buffered())
		if bytes.HasSuffix(all, endOfAnswer) {
			break
		}
		n = max(len(piece), len(all))
	}
	if !bytes.HasPrefix(all, statusOK) {
		return fmt.Errorf("answer %q", all)
	}
	c.readers[i].Discard(len(all))
	return nil
}
