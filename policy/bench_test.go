package policy

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/guard"
)

// passing is a judge that costs nothing.
type passing struct{}

func (passing) Check(context.Context, *guard.Attempt) guard.Verdict { return guard.Verdict{} }
func (passing) Report(guard.Attempt) bool                           { return true }

// BenchmarkDecision is a decision on a kept connection, and BenchmarkEcho the
// same bytes both ways through a server that only looks for the empty line: its
// inverse is what the machine can do at all.
func BenchmarkDecision(b *testing.B) {
	s, err := New(testConfig(), passing{}, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	kept(b, func(ls net.Listener) { _ = s.Serve(b.Context(), []net.Listener{ls}) })
}

func BenchmarkEcho(b *testing.B) {
	kept(b, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go echo(conn)
		}
	})
}

// echo reads lines and answers each empty one.
func echo(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := []byte(declinedAnswer)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) == 1 {
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
}

// kept asks a server over one connection, and over 32 at once.
func kept(b *testing.B, serve func(net.Listener)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go serve(l)
	b.Cleanup(func() { _ = l.Close() })
	request := capturedConnect(b)
	b.Run("connections=1", func(b *testing.B) {
		ask := asker(b, l.Addr().String(), request)
		b.ReportAllocs()
		for b.Loop() {
			ask()
		}
	})
	b.Run("connections=32", func(b *testing.B) {
		b.SetParallelism(16) // times GOMAXPROCS
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			ask := asker(b, l.Addr().String(), request)
			for pb.Next() {
				ask()
			}
		})
	})
}

func asker(b *testing.B, address string, request []byte) func() {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	answer := make([]byte, 512)
	return func() {
		if _, err := conn.Write(request); err != nil {
			b.Error(err)
			return
		}
		if n, err := conn.Read(answer); err != nil || string(answer[:n]) != declinedAnswer {
			b.Errorf("answer %q, %v", answer[:n], err)
		}
	}
}

func capturedConnect(b *testing.B) []byte {
	content, err := os.ReadFile("../testdata/policy/connect.txt")
	if err != nil {
		b.Fatal(err)
	}
	return content[bytes.Index(content, []byte("request=")):]
}

// BenchmarkAnswer is the decision alone: framing, parsing, asking, wording.
func BenchmarkAnswer(b *testing.B) {
	s, err := New(testConfig(), passing{}, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	c := newConn(b.Context(), s, discarding{new(scripted)})
	defer c.cancel()
	request := capturedConnect(b)
	b.ReportAllocs()
	for b.Loop() {
		room, err := c.Room()
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Came(copy(room, request)); err != nil {
			b.Fatal(err)
		}
	}
}

// discarding is a connection that forgets the answers.
type discarding struct{ *scripted }

func (discarding) Write(b []byte) (int, error) { return len(b), nil }
