package policy

import (
	"net"
	"testing"
	"time"
)

// between is a connection between two addresses.
type between struct {
	net.Conn
	peer, here net.Addr
}

func (b between) RemoteAddr() net.Addr { return b.peer }
func (b between) LocalAddr() net.Addr  { return b.here }
func (b between) Close() error         { return nil }

// TestStrangers holds that nobody is heard from where nobody may ask.
func TestStrangers(t *testing.T) {
	cfg := testConfig()
	cfg.AllowFrom = []string{"192.0.2.0/24", "2001:db8::1"}
	set, err := newSettings(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(address string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	here := tcp("198.51.100.1:10035")
	for peer, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"198.51.100.1:1": true, // this host, by its own address
		"192.0.2.7:1":    true, "[::ffff:192.0.2.7]:1": true, "[2001:db8::1]:1": true,
		"192.0.3.7:1": false, "198.51.100.2:1": false, "[2001:db8::2]:1": false, "[fe80::1%lo]:1": false, "10.0.0.1:1": false,
	} {
		if got := set.admits(between{peer: tcp(peer), here: here}); got != want {
			t.Errorf("%s: admitted is %t", peer, got)
		}
	}
	if unix := (&net.UnixAddr{Name: "@", Net: "unix"}); !set.admits(between{peer: unix, here: unix}) {
		t.Error("a Unix socket is not admitted, whose mode says who may open it")
	}
}

// TestStrangerIsHungUpOn holds it for a server that listens.
func TestStrangerIsHungUpOn(t *testing.T) {
	r := start(t, testConfig(), &fakeJudge{})
	ours, theirs := net.Pipe()
	defer theirs.Close()
	address := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 5), Port: 1}
	r.take(t.Context(), stranger{ours, address})
	_ = theirs.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := theirs.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v, want the end", n, err)
	}
	if got := r.metric(t, "strangers_total"); got != 1 {
		t.Errorf("counted are %v strangers", got)
	}
	if r.logs.FilterMessageSnippet("postfix.allow_from").Len() != 1 {
		t.Errorf("the log has %v", r.logs.All())
	}
}

type stranger struct {
	net.Conn
	peer net.Addr
}

func (s stranger) RemoteAddr() net.Addr { return s.peer }
