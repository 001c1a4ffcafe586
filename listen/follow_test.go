package listen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// echoing is an inbox that sends back what comes.
type echoing struct {
	nc    net.Conn
	room  []byte
	limit int // of turns; then it ends
}

var errEnough = errors.New("enough")

func (e *echoing) Room() ([]byte, error) {
	if e.limit == 0 {
		return nil, errEnough
	}
	e.limit--
	return e.room, nil
}

func (e *echoing) Came(n int) error {
	done := WriteNow(e.nc, e.room[:n])
	_, err := e.nc.Write(e.room[done:n])
	return err
}

// TestWriteNow writes until no more is taken, and the rest when it is waited for.
func TestWriteNow(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		if n := WriteNow(here, []byte{1}); n != 0 {
			t.Errorf("who does not follow writes %d bytes", n)
		}
		much := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		followed := make(chan error, 1)
		go func() { followed <- errors.Join(Follow(here, &answering{nc: here, all: much}), here.Close()) }()
		if _, err := there.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(there)
		if err != nil || !bytes.Equal(got, much) {
			t.Errorf("%d bytes have come, of %d, or others: %v", len(got), len(much), err)
		}
		if err := <-followed; !errors.Is(err, errEnough) {
			t.Error(err)
		}
	})
}

// answering is an inbox that answers much, once.
type answering struct {
	nc  net.Conn
	all []byte
}

func (a *answering) Room() ([]byte, error) { return make([]byte, 1), nil }

func (a *answering) Came(int) error {
	n := WriteNow(a.nc, a.all)
	if n == 0 || n == len(a.all) {
		return fmt.Errorf("%d bytes were taken at once", n)
	}
	_, err := a.nc.Write(a.all[n:])
	return errors.Join(err, errEnough)
}

func TestFollow(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		followed := make(chan error, 1)
		go func() { followed <- Follow(here, &echoing{nc: here, room: make([]byte, 4), limit: -1}) }()
		b := make([]byte, 16)
		for _, text := range []string{"a", "four", "more than is read at once"[:16], "b"} { // the room is filled, or not
			if _, err := io.WriteString(there, text); err != nil {
				t.Fatal(err)
			}
			if n, err := io.ReadFull(there, b[:len(text)]); err != nil || string(b[:n]) != text {
				t.Fatalf("%q, %v; want %q", b[:n], err, text)
			}
		}
		_ = there.Close()
		if err := <-followed; err != io.EOF {
			t.Errorf("it ends with %v", err)
		}
	})
}

func TestFollowEnds(t *testing.T) {
	for name, c := range map[string]struct {
		in   echoing
		end  func(here net.Conn)
		want error
	}{
		"by the inbox":  {echoing{limit: 1}, func(net.Conn) {}, errEnough},
		"when closed":   {echoing{limit: -1}, func(here net.Conn) { _ = here.Close() }, net.ErrClosed},
		"when hung up":  {echoing{limit: -1}, HangUp, io.EOF},
		"by a deadline": {echoing{limit: -1}, func(here net.Conn) { _ = here.SetReadDeadline(time.Now()) }, errTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			pairs(t, func(t *testing.T, here, there net.Conn) {
				in := c.in
				in.nc, in.room = here, make([]byte, 16)
				followed := make(chan error, 1)
				go func() { followed <- Follow(here, &in) }()
				if _, err := there.Write([]byte{1}); err != nil {
					t.Fatal(err)
				}
				if _, err := there.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				c.end(here)
				err := <-followed
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					err = errTimeout
				}
				if !errors.Is(err, c.want) {
					t.Errorf("it ends with %v, not %v", err, c.want)
				}
			})
		})
	}
}

var errTimeout = errors.New("timeout")

// TestFollowNoticesTheEnd closes one end before what was sent is read, so that both come
// as one.
func TestFollowNoticesTheEnd(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		if _, err := there.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := there.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		followed := make(chan error, 1)
		go func() { followed <- Follow(here, &echoing{nc: here, room: make([]byte, 16), limit: -1}) }()
		if _, err := there.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			NoticeEnd(here)
			select {
			case err := <-followed:
				if err != io.EOF {
					t.Errorf("it ends with %v", err)
				}
				return
			default:
			}
			if time.Since(begun) > 10*time.Second {
				t.Fatal("the end is not noticed")
			}
		}
	})
}

// TestNoticeEndTakesNothing looks at a connection in which something waits.
func TestNoticeEndTakesNothing(t *testing.T) {
	pairs(t, func(t *testing.T, here, there net.Conn) {
		NoticeEnd(here)
		if _, err := there.Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		NoticeEnd(here)
		b := make([]byte, 2)
		if n, err := here.Read(b); n != 1 || b[0] != 7 || err != nil {
			t.Errorf("read %d %v %v", n, b, err)
		}
	})
}
