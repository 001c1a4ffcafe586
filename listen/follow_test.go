package listen

import (
	"errors"
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
	_, err := e.nc.Write(e.room[:n])
	return err
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
