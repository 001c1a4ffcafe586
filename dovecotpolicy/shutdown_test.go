package dovecotpolicy

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// slowJudge holds its answers until it is told.
func slowJudge() (judge *fakeJudge, asked, release chan struct{}) {
	asked, release = make(chan struct{}, 100), make(chan struct{})
	return &fakeJudge{before: func(context.Context) { asked <- struct{}{}; <-release }}, asked, release
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	judge, asked, release := slowJudge()
	s, err := New(testConfig(), judge, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, []net.Listener{l}) }()
	var answers sync.WaitGroup
	for range 10 {
		c := dial(t, l)
		c.send(string(httpRequest("allow", benchAllow)))
		<-asked
		answers.Go(func() {
			if r, body := c.answer(); r.StatusCode != 200 || body != `{"status":0,"msg":""}` {
				t.Error(r.StatusCode, body)
			}
		})
	}
	cancel()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break // closed before anything is answered
		}
		c.Close()
		if time.Since(begin) > 5*time.Second {
			t.Fatal("the listener stays open")
		}
	}
	select {
	case err := <-served:
		t.Fatalf("Serve did not wait: %v", err)
	default:
	}
	close(release)
	answers.Wait()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := s.gate.open.Load(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	judge, asked, release := slowJudge()
	s, l, _ := start(t, testConfig(), judge, nil)
	defer close(release)
	dial(t, l).send(string(httpRequest("allow", benchAllow)))
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	s, err := New(testConfig(), new(fakeJudge), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	l := listenTCP(t)
	if err := s.Serve(t.Context(), []net.Listener{l}); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestListenerClosedBySomebodyElse(t *testing.T) {
	s, err := New(testConfig(), new(fakeJudge), Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	l.Close()
	if err := s.Serve(t.Context(), []net.Listener{l}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}
