package policy

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// slowJudge answers when it is released.
func slowJudge() (judge *fakeJudge, asked chan struct{}, release chan struct{}) {
	asked, release = make(chan struct{}, 10), make(chan struct{})
	return &fakeJudge{verdict: func(ctx context.Context, _ guard.Attempt) guard.Verdict {
		asked <- struct{}{}
		select {
		case <-release:
			return guard.Verdict{Action: guard.Refuse}
		case <-ctx.Done():
			return guard.Verdict{}
		}
	}}, asked, release
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	judge, asked, release := slowJudge()
	s := start(t, testConfig(), judge)
	idle, asking, sending := dial(t, "tcp", s.tcp), dial(t, "tcp", s.tcp), dial(t, "unix", s.unix)
	eventually(t, "all are accepted", func() bool { return s.metric(t, "connections") == 3 })
	half := connect()[:40]
	sending.send(t, half)
	asking.send(t, connect())
	<-asked
	eventually(t, "half a request is read", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for c := range s.conns {
			if state := c.state.Load(); state == busy || state == partial {
				n++
			}
		}
		return n == 2
	})
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if got := idle.answer(); got != "" {
		t.Errorf("the idle one got %q", got)
	}
	if _, err := net.Dial("unix", s.unix); err == nil {
		eventually(t, "the listener is closed", func() bool { _, err := net.Dial("unix", s.unix); return err != nil })
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown has returned %v before the answers", err)
	default:
	}
	close(release)
	sending.send(t, strings.TrimPrefix(connect(), half))
	for _, conn := range []*client{asking, sending} {
		if got := conn.answer(); got != refusedAnswer {
			t.Errorf("in flight: got %q", got)
		}
		if got := conn.answer(); got != "" {
			t.Errorf("and then %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-s.served; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.unix); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	judge, asked, _ := slowJudge()
	s := start(t, testConfig(), judge)
	conn := dial(t, "tcp", s.tcp)
	conn.send(t, connect())
	<-asked
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got := conn.answer(); got != "" {
		t.Errorf("got %q", got)
	}
	if err := <-s.served; err != nil {
		t.Error(err)
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	s, err := New(testConfig(), &fakeJudge{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(context.Background(), nil); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// The end of Serve's context answers what is in flight, too.
func TestContextEnds(t *testing.T) {
	judge, asked, release := slowJudge()
	s, err := New(testConfig(), judge, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []net.Listener{l}) }()
	conn := dial(t, "tcp", l.Addr().String())
	conn.send(t, connect())
	<-asked
	cancel()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if got := conn.answer(); got != refusedAnswer {
		t.Errorf("got %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Who was accepted in the moment of a stop is answered, with systemd's sockets by nobody
// else; who asks nothing is not waited for.
func TestShutdownAnswersWhoHasJustConnected(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	conns := []*client{dial(t, "tcp", s.tcp), dial(t, "unix", s.unix), dial(t, "tcp", s.tcp), dial(t, "tcp", s.tcp)}
	eventually(t, "all are accepted", func() bool { return s.metric(t, "connections") == 4 })
	kept := conns[3]
	kept.send(t, connect())
	if got := kept.answer(); got != declinedAnswer {
		t.Fatalf("before the stop: %q", got)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "it stops", s.stopping.Load)
	for _, conn := range conns[:2] {
		conn.send(t, connect())
	}
	for _, conn := range conns[:2] {
		if got := conn.answer(); got != declinedAnswer {
			t.Errorf("in the stop: %q", got)
		}
		if got := conn.answer(); got != "" {
			t.Errorf("and then %q", got)
		}
	}
	for _, conn := range conns[2:] {
		if got := conn.answer(); got != "" {
			t.Errorf("who asks nothing got %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Connections that come and go while the server stops end one way or the other.
func TestShutdownUnderLoad(t *testing.T) {
	s := start(t, testConfig(), &fakeJudge{})
	ended := make(chan struct{})
	for range 20 {
		go func() {
			defer func() { ended <- struct{}{} }()
			conn, err := net.Dial("tcp", s.tcp)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			answer := make([]byte, 100)
			for {
				if _, err := conn.Write([]byte(connect())); err != nil {
					return
				}
				if n, err := conn.Read(answer); err != nil || string(answer[:n]) != declinedAnswer {
					return
				}
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for range 20 {
		<-ended
	}
	if got := s.metric(t, "connections"); got != 0 {
		t.Errorf("%v connections are open", got)
	}
}
