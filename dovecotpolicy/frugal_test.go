package dovecotpolicy

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// counting counts the deadlines that are set on a connection.
type counting struct {
	net.Conn
	set int
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.set++
	return c.Conn.SetReadDeadline(t)
}

func TestADeadlineIsSetOnlyBeforeWaiting(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	inner := &counting{Conn: near}
	c := &frugalConn{Conn: inner, slack: 100 * time.Millisecond}
	ask := func(d time.Duration) {
		if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	read := func() error { _, err := c.Read(make([]byte, 1)); return err }
	go far.Write(make([]byte, 3))
	for range 3 {
		ask(time.Minute) // idle, and in force
		if err := read(); err != nil {
			t.Fatal(err)
		}
		ask(time.Second) // of a request that has come whole: nobody waits
	}
	if inner.set != 1 {
		t.Errorf("%d deadlines were set", inner.set)
	}
	ask(20 * time.Millisecond)
	if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an earlier deadline is not kept: %v", err)
	}
	ask(time.Minute)
	go far.Write(make([]byte, 1))
	if err := read(); err != nil {
		t.Errorf("a later deadline is not kept: %v", err)
	}
}

func TestWhenADeadlineIsDue(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		asked, set time.Time
		due        bool
	}{
		{time.Time{}, time.Time{}, false},
		{now, time.Time{}, true},
		{time.Time{}, now, true},
		{now, now, false},
		{now.Add(-1), now, true},
		{now.Add(time.Second), now, false},
		{now.Add(time.Second + 1), now, true},
	} {
		d := deadlines{c.asked, c.set}
		if got := d.due(time.Second); got != c.due {
			t.Errorf("asked for %v after the one in force: %v", c.asked.Sub(c.set), got)
		}
	}
}
