package listen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pairs are both ends of a connection: what Direct makes of what was accepted, and who
// has connected.
func pairs(t *testing.T, test func(t *testing.T, here, there net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			there, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			test(t, Direct(nc), there)
		})
	}
}

func TestDirectReadsAndWrites(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		b := make([]byte, 16)
		if n, err := here.Read(nil); n != 0 || err != nil {
			t.Errorf("reading nothing gives %d, %v", n, err)
		}
		for _, text := range []string{"one", "two and more"} {
			go func() { _, _ = io.WriteString(there, text) }()
			if n, err := io.ReadFull(here, b[:len(text)]); err != nil || string(b[:n]) != text {
				t.Fatalf("%q, %v; want %q", b[:n], err, text)
			}
			if _, err := io.WriteString(here, text); err != nil {
				t.Fatal(err)
			}
			if n, err := io.ReadFull(there, b[:len(text)]); err != nil || string(b[:n]) != text {
				t.Fatalf("%q, %v; want %q", b[:n], err, text)
			}
		}
		_ = there.Close()
		if n, err := here.Read(b); n != 0 || err != io.EOF {
			t.Errorf("the end reads as %d, %v", n, err)
		}
	})
}

// TestDirectWritesMuch writes more than the socket takes at once, to who reads late.
func TestDirectWritesMuch(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		much := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		wrote := make(chan error, 1)
		go func() {
			n, err := here.Write(much)
			if err == nil && n != len(much) {
				err = io.ErrShortWrite
			}
			wrote <- errors.Join(err, here.Close())
		}()
		got, err := io.ReadAll(there)
		if err := errors.Join(err, <-wrote); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, much) {
			t.Errorf("%d bytes have come, of %d, or others", len(got), len(much))
		}
	})
}

func TestDirectKeepsDeadlines(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		if err := here.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := here.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("a read that takes too long ends with %v", err)
		}
		much := make([]byte, 16<<20) // more than a socket takes
		if err := here.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := here.Write(much)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(much) {
			t.Errorf("a write that takes too long ends after %d bytes with %v", n, err)
		}
		if err := here.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = there.Write([]byte{1}) }()
		if _, err := here.Read(make([]byte, 1)); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

func TestDirectIsClosed(t *testing.T) {
	pairs(t, func(t *testing.T, here, _ net.Conn) {
		time.AfterFunc(10*time.Millisecond, func() { _ = here.Close() })
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("who reads while it is closed gets %v", err)
		}
		if _, err := here.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("who writes afterwards gets %v", err)
		}
	})
}

// TestDirectIsLeft writes to somebody who has gone, which is an error and no signal.
func TestDirectIsLeft(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		_ = there.Close()
		if err := here.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil {
			_, err = here.Write(make([]byte, 1<<10))
		}
		var lost *net.OpError
		if !errors.As(err, &lost) || !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("writing to nobody ends with %v", err)
		}
	})
}

func TestDirectLeavesOthersAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := Direct(a); got != a {
		t.Errorf("of a pipe it makes %T", got)
	}
}

func TestDirectAllocatesNothing(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		b := make([]byte, 64)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := here.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(there, b); err != nil {
				t.Fatal(err)
			}
			if _, err := there.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := here.Read(b); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("%.1f allocations", n)
		}
	})
}
