package load

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// slowly answers each policy request after a delay, but for one that it leaves
// waiting for a long while.
func slowly(t *testing.T, stallAt int, stall time.Duration) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for n := 0; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line != "\n" {
				continue
			}
			if n++; n == stallAt {
				time.Sleep(stall)
			}
			if _, err := conn.Write([]byte("action=DUNNO\n\n")); err != nil {
				return
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestAStallIsChargedToAllThatWereDue is what an open loop is for: a server that
// stands still for a while has kept everybody waiting who came meanwhile.
func TestAStallIsChargedToAllThatWereDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	l := Load{
		Dialect: func() Dialect { return Postfix{} }, Source: (&Reports{Clients: 1, Tries: 1}).Source,
		Connections: 1, Rate: 200, Duration: 900 * time.Millisecond,
	}
	r, err := l.Run(context.Background(), slowly(t, 40, stall))
	if err != nil {
		t.Fatal(err)
	}
	// 60 of some 180 were due while the server stood still, and 30 of those waited for
	// half of it or longer.
	if late := r.Quantile(90); late < stall/4 {
		t.Errorf("a tenth waited %v at least, of a stall of %v", late, stall)
	}
	if r.PeakWait < 20 || r.Unheard != 0 || r.Said[Pass] != r.All {
		t.Errorf("%d waited, %d were not answered; said: %v", r.PeakWait, r.Unheard, r.Said)
	}
}

func TestClosedLoopCountsWhatIsAsked(t *testing.T) {
	l := Load{
		Dialect: func() Dialect { return Postfix{} }, Source: (&Reports{Clients: 1, Tries: 1}).Source,
		Connections: 1, Questions: 50, Duration: time.Minute,
	}
	r, err := l.Run(context.Background(), slowly(t, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if r.All != 50 || r.Answers != 50 {
		t.Errorf("%d answers of 50 questions", r.All)
	}
}

func TestTheServerIsGone(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	defer l.Close()
	load := Load{Dialect: func() Dialect { return Redis{} }, Source: (&Reports{Clients: 1, Tries: 1}).Source, Connections: 1, Duration: time.Minute}
	if r, err := load.Run(context.Background(), l.Addr().(*net.TCPAddr).AddrPort()); err == nil {
		t.Errorf("%d answers of a server that is gone", r.All)
	}
}

func TestAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: "
	for _, c := range []struct {
		dialect Dialect
		text    string
		length  int
		said    Saying
		bad     bool
	}{
		{new(Dovecot), head + "22\r\n\r\n" + `{"status":-1,"msg":""}`, 61, Refuse, false},
		{new(Dovecot), head + "21\r\n\r\n" + `{"status":3,"msg":""}`, 60, Delay, false},
		{new(Dovecot), head + "21\r\n\r\n" + `{"status":0,"msg"`, 0, Pass, false},
		{new(Dovecot), "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 0, Pass, true},
		{Postfix{}, "action=sleep 3\n\n", 16, Delay, false},
		{Postfix{}, "action=421 4.7.0 no\n\n", 21, Refuse, false},
		{Postfix{}, "action=DUN", 0, Pass, false},
		{Postfix{}, "nonsense\n\n", 0, Pass, true},
		{Redis{}, "+PONG\r\n", 7, Pass, false},
		{Redis{}, "-NOAUTH\r\n", 0, Pass, true},
	} {
		length, said, err := c.dialect.Answer([]byte(c.text))
		if length != c.length || said != c.said || (err != nil) != c.bad {
			t.Errorf("%q: length %d, says %d, %v", c.text, length, said, err)
		}
	}
}

func TestMix(t *testing.T) {
	m, err := ParseMix("new=1,banned=3")
	if err != nil || m != (Mix{New: 1, Banned: 3}) {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"", "new", "new=0", "old=1", "new=-1", "new=1001"} {
		if m, err := ParseMix(bad); err == nil {
			t.Errorf("%q is %v", bad, m)
		}
	}
	addresses := map[string]Kind{}
	for k := range kinds {
		for _, n := range []int{0, 1, 65535, 65536, 1_000_000} {
			a := k.Addr(n).String()
			if other, taken := addresses[a]; taken && other != k {
				t.Errorf("%s is a %s and a %s client's", a, k, other)
			}
			addresses[a] = k
		}
	}
	if !netip.MustParsePrefix(AllowedClients).Contains(Allowed.Addr(65535)) || !strings.HasPrefix(Known.Addr(1).String(), "11.0.1.") {
		t.Error("a kind of client has others' addresses")
	}
}
