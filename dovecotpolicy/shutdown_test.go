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

// TestNothingIsLostBetweenTwo has servers follow each other on a socket that stays open,
// as systemd holds it, under questions on new connections and on kept ones.
func TestNothingIsLostBetweenTwo(t *testing.T) {
	held := listenTCP(t)
	defer held.Close()
	file, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	run := func() (s *Server, served chan error) {
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = New(testConfig(), new(fakeJudge), Options{}); err != nil {
			t.Fatal(err)
		}
		served = make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), []net.Listener{l}) }()
		return s, served
	}
	s, served := run()
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := dial(t, held)
				c.send(string(httpRequest("allow", benchAllow)))
				if r, body := c.answer(); r.StatusCode != 200 || body != `{"status":0,"msg":""}` {
					t.Error(r.StatusCode, body)
					return
				}
				c.Close()
			}
		})
	}
	for range 30 {
		time.Sleep(10 * time.Millisecond)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		s, served = run()
	}
	close(stop)
	asking.Wait()
	if err := errors.Join(s.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

// TestAQuestionThatHasComeIsSpared: what the transport calls idle is not, when a
// question waits in it.
func TestAQuestionThatHasComeIsSpared(t *testing.T) {
	l := listenTCP(t)
	defer l.Close()
	there := dial(t, l)
	here, err := frugal{Listener: l, slack: time.Second}.Accept() // as Serve has it
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(1, nil)
	c := &spared{Conn: g.silent.add(here), gate: g}
	c.idle.Store(true)
	there.send("P")
	for begin := time.Now(); !c.unread(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("nothing comes")
		}
	}
	_ = g.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := here.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("it is closed: %d %v", n, err)
	}
	_ = c.Close()
	if _, err := here.Read(make([]byte, 2)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it stays open: %v", err)
	}
}
