package lab

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// haproxyConfig is what Debian's haproxy.cfg has before the ports, without what is for
// HTTP, and without a chroot and a socket of its own.
const haproxyConfig = `defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000

`

// StartHAProxy runs an HAProxy with "listen" sections until the test ends, behind a
// command line that may lead into a network namespace. When it returns, dial has
// connected to a port of it.
func StartHAProxy(t testing.TB, sections string, inside []string, dial func() (net.Conn, error)) {
	t.Helper()
	Require(t, NeedHAProxy)
	conf := filepath.Join(Dir(t), "haproxy.cfg")
	if err := os.WriteFile(conf, []byte(haproxyConfig+sections), 0o644); err != nil {
		t.Fatal(err)
	}
	command := append(inside[:len(inside):len(inside)], haproxyPath, "-db", "-f", conf)
	p := StartProcess(t, command[0], command[1:], nil)
	if err := eventually(startWithin, func() error {
		select {
		case <-p.Exited():
			return errFinal{errors.New("HAProxy has ended:\n" + p.Output())}
		default:
		}
		c, err := dial()
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
}
