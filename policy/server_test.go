package policy

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
)

func TestPipelined(t *testing.T) {
	judge := &fakeJudge{}
	s := start(t, testConfig(), judge)
	conn := dial(t, "tcp", s.tcp)
	const n = 500
	go func() { _, _ = conn.Write([]byte(strings.Repeat(connect(), n))) }()
	for i := range n {
		if got := conn.answer(); got != declinedAnswer {
			t.Fatalf("answer %d is %q", i, got)
		}
	}
	if asked, _ := judge.take(); len(asked) != n {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestByteByByte(t *testing.T) {
	judge := &fakeJudge{}
	s := start(t, testConfig(), judge)
	conn := dial(t, "tcp", s.tcp)
	for _, request := range []string{connect(), strings.ReplaceAll(connect("client_address=192.0.2.5"), "\n", "\r\n")} {
		for i := range len(request) {
			conn.send(t, request[i:i+1])
		}
		if got := conn.answer(); got != declinedAnswer {
			t.Errorf("got %q", got)
		}
	}
	if asked, _ := judge.take(); len(asked) != 2 || asked[1].Client.String() != "192.0.2.5" {
		t.Errorf("asked %+v", asked)
	}
}

// Buffers grow with a request up to the limit, and shrink again.
func TestRequestSizes(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	conn := dial(t, "unix", s.unix)
	padding := func(total int) string {
		var b strings.Builder
		for rest := total - len(connect()); rest > 0; {
			n := min(rest, 4000)
			if rest-n < 3 {
				n = rest
			}
			b.WriteString("x=" + strings.Repeat("y", n-3) + "\n")
			rest -= n
		}
		return b.String() + connect()
	}
	most := testConfig().MaxRequest
	for _, total := range []int{1000, 4095, 4096, 4097, 8192, 10000, most, 1000} {
		request := padding(total)
		if len(request) != total {
			t.Fatalf("made %d instead of %d", len(request), total)
		}
		if got := conn.ask(t, request); got != declinedAnswer {
			t.Fatalf("%d bytes: %q", total, got)
		}
	}
	conn.send(t, padding(most + 1)[:most+1])
	if got := conn.answer(); got != "" && got != declinedAnswer {
		t.Errorf("a byte too many: %q", got)
	}
	if got := s.metric(t, "malformed_total{oversize}"); got != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestEndless(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	conn := dial(t, "tcp", s.tcp)
	go func() {
		for {
			if _, err := conn.Write([]byte("helo_name=" + strings.Repeat("x", 1000))); err != nil {
				return
			}
		}
	}()
	if got := conn.answer(); got != "" {
		t.Errorf("got %q", got)
	}
	eventually(t, "it is counted", func() bool { return s.metric(t, "malformed_total{oversize}") == 1 })
}

func TestTruncated(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	conn := dial(t, "tcp", s.tcp)
	conn.send(t, strings.TrimSuffix(connect(), "\n"))
	_ = conn.Conn.(*net.TCPConn).CloseWrite()
	if got := conn.answer(); got != "" {
		t.Errorf("got %q", got)
	}
	eventually(t, "it is counted", func() bool { return s.metric(t, "malformed_total{truncated}") == 1 })
	eventually(t, "it is gone", func() bool { return s.metric(t, "connections") == 0 })
}

// Who asks and closes his end at once has his answer, and is not kept.
func TestHalfClosed(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	for _, address := range []string{s.tcp, s.unix} {
		network := "tcp"
		if address == s.unix {
			network = "unix"
		}
		for range 5 {
			conn := dial(t, network, address)
			conn.send(t, connect()+connect())
			_ = conn.Conn.(interface{ CloseWrite() error }).CloseWrite()
			begun := time.Now()
			if got := conn.answer() + conn.answer(); got != declinedAnswer+declinedAnswer {
				t.Errorf("got %q", got)
			}
			if got := conn.answer(); got != "" || time.Since(begun) > 10*time.Second {
				t.Errorf("got %q, and the end after %v", got, time.Since(begun))
			}
		}
	}
	eventually(t, "they are gone", func() bool { return s.metric(t, "connections") == 0 })
}

// A request that comes in drops is not waited for, whatever the drops.
func TestSlowRequest(t *testing.T) {
	cfg := testConfig()
	cfg.ReadTimeout = 300 * time.Millisecond
	s := start(t, cfg, &fakeJudge{})
	conn := dial(t, "tcp", s.tcp)
	if got := conn.ask(t, connect()); got != declinedAnswer {
		t.Fatalf("got %q", got)
	}
	begun := time.Now()
	go func() {
		for _, b := range []byte(connect()) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	if got := conn.answer(); got != "" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(begun); took < 250*time.Millisecond || took > 3*time.Second {
		t.Errorf("closed after %v", took)
	}
	eventually(t, "it is counted", func() bool { return s.metric(t, "malformed_total{timeout}") == 1 })
}

func TestIdle(t *testing.T) {
	cfg := testConfig()
	cfg.IdleTimeout, cfg.ReadTimeout = time.Second, 100*time.Millisecond
	s := start(t, cfg, &fakeJudge{})
	conn := dial(t, "tcp", s.tcp)
	for range 3 { // longer than read_timeout, shorter than idle_timeout
		if got := conn.ask(t, connect()); got != declinedAnswer {
			t.Fatalf("got %q", got)
		}
		time.Sleep(400 * time.Millisecond)
	}
	begun := time.Now()
	if got := conn.answer(); got != "" || time.Since(begun) > 5*time.Second {
		t.Errorf("got %q after %v", got, time.Since(begun))
	}
}

func TestConnectionLimit(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 2
	s := start(t, cfg, &fakeJudge{})
	first, second := dial(t, "tcp", s.tcp), dial(t, "unix", s.unix)
	for _, conn := range []*client{first, second} {
		if got := conn.ask(t, connect()); got != declinedAnswer {
			t.Fatalf("got %q", got)
		}
	}
	if got := dial(t, "tcp", s.tcp).answer(); got != "" {
		t.Errorf("the third was answered %q", got)
	}
	if rejected, open := s.metric(t, "rejected_connections_total"), s.metric(t, "connections"); rejected != 1 || open != 2 {
		t.Errorf("rejected %v, open %v", rejected, open)
	}
	_ = second.Close()
	eventually(t, "there is room again", func() bool { return s.metric(t, "connections") == 1 })
	for _, conn := range []*client{first, dial(t, "tcp", s.tcp)} {
		if got := conn.ask(t, connect()); got != declinedAnswer {
			t.Errorf("got %q", got)
		}
	}
}

// Connections that ask nothing, or not to the end, do not keep Postfix out; those that
// have asked stay.
func TestTheSilentMakeRoom(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 3
	s := start(t, cfg, &fakeJudge{})
	asks := dial(t, "tcp", s.tcp)
	asks.ask(t, connect())
	silent := dial(t, "tcp", s.tcp)
	eventually(t, "the silent one is let in", func() bool { return s.metric(t, "connections") == 2 })
	slow := dial(t, "tcp", s.tcp)
	slow.send(t, "request=smtpd_access_policy\n")
	eventually(t, "the slow one is let in", func() bool { return s.metric(t, "connections") == 3 })
	time.Sleep(silentFor)
	for _, gone := range []*client{silent, slow} {
		if got := dial(t, "tcp", s.tcp).ask(t, connect()); got != declinedAnswer {
			t.Errorf("a new one got %q", got)
		}
		if got := gone.answer(); got != "" {
			t.Errorf("one that gave way got %q", got)
		}
	}
	if got := dial(t, "tcp", s.tcp).answer(); got != "" {
		t.Errorf("one too many got %q", got)
	}
	if got := asks.ask(t, connect()); got != declinedAnswer {
		t.Errorf("the first got %q", got)
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{verdict: func(_ context.Context, a guard.Attempt) guard.Verdict {
		if a.Client.String() == "192.0.2.66" {
			panic("a bug")
		}
		return guard.Verdict{}
	}})
	other, conn := dial(t, "tcp", s.tcp), dial(t, "tcp", s.tcp)
	if got := conn.ask(t, connect("client_address=192.0.2.66")); got != "" {
		t.Errorf("got %q", got)
	}
	if got := other.ask(t, connect()); got != declinedAnswer {
		t.Errorf("another connection got %q", got)
	}
	if got := s.metric(t, "panics_total"); got != 1 {
		t.Errorf("counted %v", got)
	}
	if s.logs.FilterMessageSnippet("panic").Len() != 1 {
		t.Errorf("logged %v", s.logs.All())
	}
}

// A judge that misses its deadline is told so, and its connection is closed
// after the answer; one that does not even notice loses the connection.
func TestSlowJudge(t *testing.T) {
	release := make(chan struct{})
	judge := &fakeJudge{verdict: func(ctx context.Context, a guard.Attempt) guard.Verdict {
		if a.Client.Is4() {
			<-ctx.Done()
		} else {
			<-release
		}
		return guard.Verdict{}
	}}
	s := start(t, testConfig(), judge)
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	var wg sync.WaitGroup
	for address, want := range map[string]string{"192.0.2.4": declinedAnswer, "2001:db8::1": ""} {
		conn := dial(t, "tcp", s.tcp)
		wg.Go(func() {
			begun := time.Now()
			conn.send(t, connect("client_address="+address))
			if got := conn.answer(); got != want {
				t.Errorf("%s: got %q, want %q", address, got, want)
			}
			if got := conn.answer(); got != "" {
				t.Errorf("%s: and then %q", address, got)
			}
			if took := time.Since(begun); took < 900*time.Millisecond || took > 2800*time.Millisecond {
				t.Errorf("%s: closed after %v", address, took)
			}
		})
	}
	wg.Wait()
}

// What strangers send is quoted, cut, and logged a few times only.
func TestHostileLogLines(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	conn := dial(t, "tcp", s.tcp)
	for range 50 {
		conn.ask(t, "evil\x1b[2J\x00 "+strings.Repeat("x", 3000)+"\n\n")
	}
	lines := s.logs.FilterMessage("malformed request").All()
	if len(lines) == 0 || len(lines) > loggedFirst {
		t.Fatalf("%d lines", len(lines))
	}
	request := lines[0].ContextMap()["request"].(string)
	if len(request) > 400 || strings.ContainsAny(request, "\x1b\x00") || !strings.HasPrefix(request, `"evil\x1b[2J\x00 xxx`) {
		t.Errorf("logged %q", request)
	}
}

// The line about a request that cannot be judged says what Postfix got for it.
func TestMalformedSaysWhatWasAnswered(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	whole := dial(t, "tcp", s.tcp)
	if got := whole.ask(t, "request=other\n\n"); got != declined {
		t.Errorf("got %q", got)
	}
	cut := dial(t, "tcp", s.tcp)
	cut.send(t, "request=smtpd_access_policy\nprotocol_st")
	if err := cut.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	cut.answer()
	lines := s.logs.FilterMessage("malformed request").All()
	if len(lines) != 2 || lines[0].ContextMap()["answer"] != "DUNNO" || lines[1].ContextMap()["answer"] != "none: the connection is closed" {
		t.Errorf("logged %v", lines)
	}
}

func TestServeTwice(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	dial(t, "tcp", s.tcp).ask(t, connect())
	if err := s.Serve(context.Background(), nil); err == nil {
		t.Error("no error")
	}
}

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("broken") }

func TestListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(testConfig(), &fakeJudge{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Serve(context.Background(), []net.Listener{brokenListener{l}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}
