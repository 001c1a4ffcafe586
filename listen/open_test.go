package listen

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// answers tells whether somebody accepts connections on an address.
func answers(t *testing.T, network, address string) bool {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func mustOpen(t *testing.T, cfg Config) []net.Listener {
	t.Helper()
	ls, err := Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range ls {
			_ = l.Close()
		}
	})
	return ls
}

// stale leaves a socket behind on which nobody listens.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
}

func TestOpenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	owner := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	l := mustOpen(t, Config{Listen: []string{"unix:" + path}, SocketMode: "0660", SocketOwner: owner})[0]
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeSocket | 0o660; info.Mode() != want {
		t.Errorf("mode is %v, want %v", info.Mode(), want)
	}
	if got := l.Addr().String(); got != path {
		t.Errorf("address is %q, want %q", got, path)
	}
	if !answers(t, "unix", path) {
		t.Error("nobody answers")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
}

// What bind leaves behind before mode and owner are set is reachable by nobody.
func TestNeverWiderThanAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	l, err := bind(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0 {
		t.Errorf("mode before it is set: %v, want none", info.Mode())
	}
}

func TestUnknownOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	_, err := Open(Config{Listen: []string{"unix:" + path}, SocketOwner: "nobody-has-this-name"}, nil)
	if err == nil || !strings.Contains(err.Error(), "nobody-has-this-name") {
		t.Errorf("got %v, want an error that names the user", err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a socket was created all the same")
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	stale(t, path)
	mustOpen(t, Config{Listen: []string{"unix:" + path}})
	if !answers(t, "unix", path) {
		t.Error("nobody answers")
	}
}

func TestLiveSocketIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	cfg := Config{Listen: []string{"unix:" + path}}
	mustOpen(t, cfg)
	_, err := Open(cfg, nil)
	if err == nil || !strings.Contains(err.Error(), path+" is in use: another saslguard runs?") {
		t.Errorf("got %v", err)
	}
	if !answers(t, "unix", path) {
		t.Error("the first one no longer answers")
	}
}

func TestFileIsNeverRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if _, err := Open(Config{Listen: []string{"unix:" + p}}, nil); err == nil || !strings.Contains(err.Error(), "is not a socket") {
			t.Errorf("%s: got %v", p, err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file is now %q, %v", content, err)
	}
}

// A socket that another process put in the place of ours is not ours to remove.
func TestCloseSparesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	first := mustOpen(t, Config{Listen: []string{"unix:" + path}})[0]
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Listen: []string{"unix:" + path}})
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if !answers(t, "unix", path) {
		t.Error("the second one no longer answers")
	}
}

// Of many that start at once over a stale socket, one gets it.
func TestOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	stale(t, path)
	var wg sync.WaitGroup
	won := make(chan net.Listener, 8)
	for range cap(won) {
		wg.Go(func() {
			if ls, err := Open(Config{Listen: []string{"unix:" + path}}, nil); err == nil {
				won <- ls[0]
			}
		})
	}
	wg.Wait()
	close(won)
	n := 0
	for l := range won {
		n++
		t.Cleanup(func() { l.Close() })
	}
	if n != 1 {
		t.Errorf("%d opened the same socket", n)
	}
}

func TestOpenAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, err = Open(Config{Listen: []string{"unix:" + path, address}}, nil)
	if err == nil || !strings.Contains(err.Error(), address+" is in use") || !strings.Contains(err.Error(), "stop it or listen elsewhere") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the first address was left open: %v", err)
	}
}

func TestForeignAddress(t *testing.T) {
	_, err := Open(Config{Listen: []string{"192.0.2.1:4000"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "192.0.2.1:4000 is not an address of this host") {
		t.Errorf("got %v", err)
	}
}

// A socket that systemd holds is alive; listing its address as well is no error.
func TestInheritedAddressIsNotOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	inherited := mustOpen(t, Config{Listen: []string{"unix:" + path, "127.0.0.1:0"}})
	tcp := inherited[1].Addr().String()
	ls, err := Open(Config{Listen: []string{tcp, "unix:" + path}}, inherited)
	if err != nil || len(ls) != 2 {
		t.Errorf("got %d listeners, %v", len(ls), err)
	}
}

func TestLocal(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "127.8.0.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false} {
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := Local(addr); got != want {
			t.Errorf("Local(%s) = %v", address, got)
		}
	}
	if !Local(&net.UnixAddr{Name: "/run/policy", Net: "unix"}) {
		t.Error("a Unix socket is local")
	}
}
