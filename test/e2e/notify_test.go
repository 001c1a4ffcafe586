package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// A ban is told by mail, through Postfix and into a mailbox, once: not again when
// saslguard starts anew and reads its bans.
func TestNotificationsByMail(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.NeedPostfix)
	box := newMailbox(t)
	p := newProgram(t)
	url := fmt.Sprintf("smtp://%s/?from=saslguard@lab.test&to=postmaster@lab.test", box.postfix.MX)
	p.write(t, "mode: enforce\nhost: mx1.lab.test\nnotify: {urls: ["+strconv.Quote(url)+"]}\n")

	out, err := exec.Command(p.bin, "notify", "test", "--config", p.config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "urls[0] smtp  taken") {
		t.Errorf("notify test: %v\n%s", err, out)
	}
	if m := box.wait(t, 1)[0]; !strings.Contains(m, "Subject: saslguard on mx1.lab.test: a test of the notifications\n") ||
		!strings.Contains(m, "To: postmaster@lab.test\n") || !strings.Contains(m, "There is nothing to do: it works.") {
		t.Errorf("the test message is\n%s", m)
	}

	proc := p.start(t)
	banByReports(t, p.dovecot, "198.51.100.7", 0)
	found := false
	for _, m := range box.wait(t, 2) {
		if strings.Contains(m, "Subject: saslguard on mx1.lab.test: banned 198.51.100.7\n") &&
			strings.Contains(m, "Why: the client has 20.0 points; accounts: 1\n") && strings.Contains(m, "  saslguard unban 198.51.100.7/32\n") {
			found = true
		}
	}
	if !found {
		t.Errorf("the ban was not told:\n%s", strings.Join(box.wait(t, 2), "\n---\n"))
	}
	stopped(t, proc)

	proc = p.start(t)
	banByReports(t, p.dovecot, "198.51.100.8", 100)
	told := strings.Join(box.wait(t, 3), "\n---\n")
	for _, client := range []string{"198.51.100.7", "198.51.100.8"} {
		if n := strings.Count(told, ": banned "+client+"\n"); n != 1 {
			t.Errorf("after the restart %s was told %d times:\n%s", client, n, told)
		}
	}
	stopped(t, proc)
}

// banByReports reports wrong passwords of a client to the Dovecot face, each another
// one, until it is banned.
func banByReports(t *testing.T, addr, client string, from int) {
	t.Helper()
	for i := range 25 {
		body := fmt.Sprintf(`{"login":"victim@lab.test","remote":%q,"pwhash":"%04x","protocol":"imap","mech":"PLAIN","session_id":"%s-%d","tls":true,"success":false,"policy_reject":false,"fail_type":"credentials"}`,
			client, 0x1000+from+i, client, i)
		res, err := http.Post("http://"+addr+"/?command=report", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("a report is answered %s", res.Status)
		}
	}
}

// mailbox is a Postfix that delivers what it is sent into files.
type mailbox struct {
	postfix *lab.Postfix
	dir     string
}

func newMailbox(t *testing.T) mailbox {
	t.Helper()
	const nobody = 65534
	m := mailbox{dir: lab.Dir(t)}
	if err := os.Chown(m.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	m.postfix = lab.StartPostfix(t, lab.PostfixOptions{
		Main: fmt.Sprintf(`relay_domains =
virtual_mailbox_domains = lab.test
virtual_mailbox_base = %s
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:%d
virtual_gid_maps = static:%d
virtual_transport = virtual`, m.dir, nobody, nobody),
		Master: "virtual unix - n n - - virtual",
	})
	return m
}

// wait returns the messages in the mailbox, in no order, once there are n.
func (m mailbox) wait(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(m.dir, "box/new/*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) >= n {
			return readAll(t, names)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages, want %d\n%s", len(names), n, m.postfix.Log())
		}
	}
}

// readAll reads files.
func readAll(t *testing.T, names []string) []string {
	t.Helper()
	var all []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// A receiver that cannot be reached is named, and its secrets are not.
func TestNotifyTestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, fmt.Sprintf("notify: {urls: [\"ntfy://user:hunter2secret@127.0.0.1:%d/hunter2topic?scheme=http\"]}\n", lab.FreePort(t)))
	out, err := exec.Command(p.bin, "notify", "test", "-o", "json", "--config", p.config).Output()
	var results []struct {
		Target, Error string
		OK            bool
	}
	if e := json.Unmarshal(out, &results); e != nil || err == nil || len(results) != 1 {
		t.Fatalf("%v %v\n%s", err, e, out)
	}
	if r := results[0]; r.OK || r.Target != "urls[0] ntfy" || !strings.Contains(r.Error, "refused") || strings.Contains(string(out), "hunter2") {
		t.Errorf("%s", out)
	}
}
