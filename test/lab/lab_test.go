package lab

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		// The process that dies in TestTestBinaryDies. Its parent has the lock.
		os.Exit(m.Run())
	}
	os.Exit(Main(m))
}

var (
	client4 = netip.MustParseAddr("203.0.113.9")
	client6 = netip.MustParseAddr("2001:db8::1")
)

func TestProxyHeaders(t *testing.T) {
	server := netip.MustParseAddrPort("127.0.0.1:143")
	for _, c := range []struct{ client, want string }{
		{"203.0.113.9:4242", "PROXY TCP4 203.0.113.9 127.0.0.1 4242 143\r\n"},
		{"[2001:db8::1]:4242", "PROXY TCP6 2001:db8::1 ::1 4242 143\r\n"},
		{"[::ffff:203.0.113.9]:4242", "PROXY TCP4 203.0.113.9 127.0.0.1 4242 143\r\n"},
	} {
		if got := string(ProxyV1(netip.MustParseAddrPort(c.client), server)); got != c.want {
			t.Errorf("ProxyV1(%s) = %q, want %q", c.client, got, c.want)
		}
	}
	got := ProxyV2(netip.MustParseAddrPort("203.0.113.9:4242"), server)
	want := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x7f\x00\x00\x01\x10\x92\x00\x8f"
	if string(got) != want {
		t.Errorf("ProxyV2 = %x, want %x", got, want)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	addrs, err := freeAddrs(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		if seen[a] {
			t.Errorf("%v twice", a)
		}
		seen[a] = true
	}
}

// A second process must wait. Two descriptors in one process exclude each
// other as well, since flock belongs to the open file.
func TestLockIsHeld(t *testing.T) {
	f, err := openLock(filepath.Join(os.TempDir(), dirPrefix+"lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if tryLock(f) == nil {
		t.Error("the lab's lock is free while Main runs")
	}
}

func TestSweepLeavesTheLiving(t *testing.T) {
	dead := filepath.Join(baseDir(), dirPrefix+"999999999-dead")
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		os.Remove(dead)
		t.Error("the directory of a dead process was left")
	}
	if _, err := os.Stat(processDir()); err != nil {
		t.Errorf("our own directory: %v", err)
	}
}

func TestRequireNamesWhatIsMissing(t *testing.T) {
	if got := missing([]Need{"nothing"}, exists); got != "" {
		t.Errorf("nothing needed, yet missing: %s", got)
	}
	got := missing([]Need{NeedPostfix, NeedDovecot}, func(string) bool { return false })
	const want = "apt-get install --no-install-recommends -y postfix dovecot-core dovecot-imapd dovecot-pop3d"
	if !strings.Contains(got, want) || !strings.Contains(got, "no /usr/sbin/dovecot") {
		t.Errorf("with nothing installed Require says\n%s", got)
	}
	if os.Geteuid() != 0 {
		if got := missing([]Need{NeedPostfix}, exists); !strings.Contains(got, "root") {
			t.Errorf("not root, and Require says %q", got)
		}
	}
}

// A port that somebody took in the meantime is told from any other failure.
func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addrs, err := freeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
	taken := append(addrs, l.Addr().(*net.TCPAddr).AddrPort())
	Require(t)
	d := &Dovecot{Dir: Dir(t)}
	d.SASLPath = filepath.Join(d.Dir, "sasl")
	if err := d.start(DovecotOptions{}, taken); !errors.Is(err, errPortTaken) {
		t.Errorf("Dovecot: %v, want errPortTaken\n%s", err, d.Log())
	}
	if err := d.start(DovecotOptions{Extra: "nonsense = 1"}, taken); err == nil || errors.Is(err, errPortTaken) {
		t.Errorf("Dovecot with a bad configuration: %v", err)
	}
	p := &Postfix{Dir: Dir(t)}
	p.Queue = filepath.Join(p.Dir, "queue")
	if err := p.makeDirectories(); err != nil {
		t.Fatal(err)
	}
	if err := p.start(PostfixOptions{}, taken[1:]); !errors.Is(err, errPortTaken) {
		t.Errorf("Postfix: %v, want errPortTaken\n%s", err, p.Log())
	}
}
