package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartSaslauthd runs a saslauthd until the test ends, which asks an IMAP server, and
// returns the path of its socket for smtpd.conf (saslauthd_path).
func StartSaslauthd(t testing.TB, imap netip.AddrPort) string {
	t.Helper()
	Require(t, NeedCyrusSASL)
	dir := Dir(t)
	socket := filepath.Join(dir, "mux")
	// -d keeps it in front, -r has it ask for user@realm.
	p := StartProcess(t, saslauthdPath, []string{"-d", "-r", "-a", "rimap", "-O", fmt.Sprintf("%s/%d", imap.Addr(), imap.Port()), "-m", dir}, nil)
	if err := eventually(startWithin, func() error {
		select {
		case <-p.Exited():
			return errFinal{errors.New("saslauthd has ended:\n" + p.Output())}
		default:
		}
		c, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
	return socket
}

// SASLDB makes a database of users, whose names have a realm, and their passwords, and
// returns its path for smtpd.conf (sasldb_path).
func SASLDB(t testing.TB, users map[string]string) string {
	t.Helper()
	Require(t, NeedCyrusSASL)
	path := filepath.Join(Dir(t), "sasldb2")
	for user, password := range users {
		name, realm, _ := strings.Cut(user, "@")
		cmd := exec.Command(saslpasswdPath, "-p", "-f", path, "-c", "-u", realm, name)
		cmd.Stdin = strings.NewReader(password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	uid, _, err := postfixIDs()
	if err == nil {
		err = errors.Join(os.Chown(path, uid, -1), os.Chmod(path, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
