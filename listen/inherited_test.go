package listen

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// serviceEnv makes the test binary play a service that systemd started.
const serviceEnv = "LISTEN_TEST_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(serviceEnv) != "" {
		os.Exit(activated())
	}
	os.Exit(m.Run())
}

// activated prints what it inherited, and what is left for its children.
func activated() int {
	named, err := Inherited()
	if err != nil {
		fmt.Println("error:", err)
		return 0
	}
	var lines []string
	for name, ls := range named {
		for _, l := range ls {
			lines = append(lines, fmt.Sprintf("%s %s %s", name, l.Addr().Network(), l.Addr()))
			_ = l.Close()
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	again, err := Inherited()
	fmt.Printf("again %d %v, LISTEN_FDS=%q\n", len(again), err, os.Getenv("LISTEN_FDS"))
	return 0
}

// activate runs that service with descriptors from 3 on, as systemd would.
func activate(t *testing.T, names, pid string, files ...*os.File) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID="+pid+` exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), serviceEnv+"=1", fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func listener(t *testing.T, network, address string) (*os.File, string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, l.Addr().String()
}

func TestInherited(t *testing.T) {
	path := t.TempDir() + "/policy"
	unix, _ := listener(t, "unix", path)
	tcp, address := listener(t, "tcp", "127.0.0.1:0")
	more, address2 := listener(t, "tcp", "127.0.0.1:0")
	got := activate(t, "postfix:postfix:dovecot", "$$", unix, tcp, more)
	lines := []string{"postfix unix " + path, "postfix tcp " + address, "dovecot tcp " + address2}
	slices.Sort(lines)
	want := strings.Join(lines, "\n") + "\nagain 0 <nil>, LISTEN_FDS=\"\"\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("systemd's socket was unlinked: %v", err)
	}
}

func TestInheritedForAnother(t *testing.T) {
	tcp, _ := listener(t, "tcp", "127.0.0.1:0")
	if got, want := activate(t, "postfix", "1", tcp), "again 0 <nil>, LISTEN_FDS=\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInheritedIsNoListener(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	packets, err := udp.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for name, f := range map[string]*os.File{"a file": file, "datagrams": packets} {
		tcp, _ := listener(t, "tcp", "127.0.0.1:0")
		got := activate(t, "postfix:dovecot", "$$", tcp, f)
		if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, `"dovecot"`) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
