package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
)

// TestHashedLogins holds that with `logins: hashed` nobody reads a login anywhere,
// and that who knows it still finds what happened.
func TestHashedLogins(t *testing.T) {
	t.Parallel()
	const person = "winifred@lab.test"
	var told sync.Mutex
	var messages strings.Builder
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told.Lock()
		defer told.Unlock()
		_, _ = io.Copy(&messages, r.Body)
	}))
	t.Cleanup(hook.Close)
	p := newProgram(t)
	rest := func(logins string) string {
		return fmt.Sprintf("log: {level: debug}\nmode: enforce\nlogins: %s\nnotify: {webhook: {url: %q, secret: 0123456789abcdef0123}, guesses: 2, spray_accounts: 0}\n", logins, hook.URL)
	}
	p.write(t, rest("hashed"))
	proc := p.start(t)
	o := operator{T: t, bin: p.bin, socket: p.control}
	post := func(command, body string) {
		t.Helper()
		res, err := http.Post("http://"+p.dovecot+"/?command="+command, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	attempt := func(client string, hash int, right bool) {
		t.Helper()
		about := fmt.Sprintf(`"login":%q,"remote":%q,"pwhash":"%04x","protocol":"imap","mech":"PLAIN","session_id":"","tls":false,"device_id":""`, person, client, hash)
		post("allow", "{"+about+"}")
		post("report", fmt.Sprintf(`{%s,"success":%t,"policy_reject":false}`, about, right))
	}
	for i := range 4 {
		attempt("203.0.113.9", i, false)
	}
	attempt("203.0.113.9", 0xfff, true) // after so many failures it looks guessed
	post("allow", `{"login":"`+person+`","remote":`)
	if _, err := proc.WaitLine("unreadable request", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	find := func(want int, who ...string) api.Explanation {
		t.Helper()
		var x api.Explanation
		for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			fromJSON(t, o.must(append([]string{"explain", "-o", "json"}, who...)...), &x)
			n := 0
			for _, e := range x.Events.Events {
				if e.Outcome == "failure" {
					n++
				}
			}
			if n == want {
				return x
			}
			if time.Now().After(end) {
				t.Fatalf("explain %q knows of %d failures, want %d: %+v", who, n, want, x)
			}
		}
	}
	find(4, "203.0.113.9")
	x := find(4, person)
	name := x.Events.Events[0].Account
	if !regexp.MustCompile(`^[0-9a-f]{16}@hashed$`).MatchString(name) {
		t.Errorf("the account is called %q", name)
	}
	if x := find(4, name); !strings.Contains(x.Known, "hashed login") {
		t.Errorf("asked about %s it says %+v", name, x)
	}
	find(4, "203.0.113.9", person)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		told.Lock()
		text := messages.String()
		told.Unlock()
		if strings.Contains(text, name) && strings.Contains(text, "may be compromised") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the webhook was told %q", text)
		}
	}
	said := map[string]string{
		"the log": proc.Output(), "the webhook": messages.String(), "report": o.must("report", "-o", "json"), "explain": o.must("explain", "203.0.113.9"),
		"status": o.must("status", "-o", "json"), "audit": o.must("audit"),
	}
	for where, text := range said {
		if strings.Contains(text, "winifred") {
			t.Errorf("%s names the login:\n%s", where, text)
		}
	}
	if !strings.Contains(said["the log"], name) {
		t.Errorf("the log does not name %s", name)
	}

	p.write(t, rest("clear"))
	if err := proc.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.WaitLine(`"msg":"reloaded"`, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	attempt("203.0.113.77", 77, false)
	find(5, person)
	if _, err := proc.WaitLine(person, 15*time.Second); err != nil {
		t.Error("after a reload the log does not name the login")
	}
	stopped(t, proc)
}
