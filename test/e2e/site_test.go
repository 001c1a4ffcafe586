// Package e2e holds the program, as a newcomer starts it, against real Postfix
// and Dovecot: guessers and owners log in by SMTP, IMAP and POP3 from addresses
// of their own, told by the PROXY protocol, and what counts is what the servers
// answered and which passwords Dovecot's database was asked for.
package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// TestMain runs the tests side by side: each has servers of its own, and what
// they do is mostly to wait in tarpits.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideEnv) != "" {
		os.Exit(m.Run()) // the lab is the one of the parent
	}
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(lab.Main(m))
}

// The people of the lab.
const (
	alice = "alice@lab.test"
	bob   = "bob@lab.test"
	carol = "carol@lab.test"
	dave  = "dave@lab.test"
	right = "right horse battery"
	nonce = "e2e"
)

// site is a mail host: saslguard, Dovecot and Postfix, as the shipped snippets
// connect them.
type site struct {
	*testing.T
	bin, state               string
	postfixAddr, dovecotAddr string
	adminAddr, control       string
	args                     []string
	sockets                  []lab.Socket // of systemd; none: saslguard opens its own
	guard                    *lab.Process
	dovecot                  *lab.Dovecot
	postfix                  *lab.Postfix
	imap, pop3, smtp         lab.Login
}

// newSite starts one. Delays are a second at most unless the test wants the
// shipped ones, so that the suite does not sleep all day.
func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	return newSiteWith(t, siteOptions{args: args})
}

// siteOptions is what a site has that others have not.
type siteOptions struct {
	args    []string
	held    bool // systemd holds the sockets
	patient bool // Postfix and Dovecot wait for long, so that a busy machine is no failure

	usual           bool   // saslguard has its usual ports, in a network namespace
	dovecot, master string // more of their configuration
}

func newSiteWith(t *testing.T, o siteOptions) *site {
	t.Helper()
	lab.Require(t)
	s := &site{
		T: t, bin: lab.Build(t), state: t.TempDir(), args: o.args,
		postfixAddr: fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		dovecotAddr: fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		adminAddr:   fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		control:     filepath.Join(lab.Dir(t), "control.sock"),
	}
	if o.usual {
		s.postfixAddr, s.dovecotAddr = "127.0.0.1:10035", "127.0.0.1:4001"
	}
	if o.held {
		s.sockets = []lab.Socket{
			lab.Hold(t, "postfix", s.postfixAddr), lab.Hold(t, "dovecot", s.dovecotAddr), lab.Hold(t, "control", "unix:"+s.control),
		}
	}
	s.startGuard()
	extra, submission := lab.DovecotSnippet(t, s.dovecotAddr, nonce), lab.PostfixService(t, s.postfixAddr, "submission")
	if o.patient {
		extra = strings.NewReplacer("auth_policy_server_timeout_msecs = 2000", "auth_policy_server_timeout_msecs = 20000",
			"http_client_request_absolute_timeout = 2s", "http_client_request_absolute_timeout = 20s").Replace(extra)
		submission = strings.Replace(submission, "timeout=3s", "timeout=20s", 1)
	}
	s.dovecot = lab.StartDovecot(t, lab.DovecotOptions{
		Users: map[string]string{alice: right, bob: right, carol: right, dave: right},
		Extra: extra + o.dovecot,
	})
	s.postfix = lab.StartPostfix(t, lab.PostfixOptions{
		SASLPath:           s.dovecot.SASLPath,
		ClientRestrictions: submission,
		MXRestrictions:     lab.PostfixService(t, s.postfixAddr, "mx"),
		HardErrorLimit:     100,
		Main:               "smtpd_soft_error_limit = 100",
		Master:             o.master,
	})
	s.imap = s.dovecot.IMAPLogin(lab.NoMechanism)
	s.pop3 = s.dovecot.POP3Login(lab.NoMechanism)
	s.smtp = s.postfix.SMTPProxyLogin(lab.Plain)
	return s
}

// startGuard runs saslguard and waits until it serves.
func (s *site) startGuard() {
	s.Helper()
	args := append([]string{
		"serve", "--enforce", "--state", s.state,
		"--postfix", s.postfixAddr, "--dovecot", s.dovecotAddr, "--set", "admin.listen=" + s.adminAddr, "--set", "admin.control.socket=" + s.control,
		"--set", "rules.tarpit.max=1s", "--set", "rules.tarpit.max_smtp=1s",
	}, s.args...)
	if len(s.sockets) > 0 {
		s.guard = lab.StartActivated(s.T, s.bin, args, nil, s.sockets...)
	} else {
		s.guard = lab.StartProcess(s.T, s.bin, args, nil)
	}
	if _, err := s.guard.WaitLine("metrics and health", 20*time.Second); err != nil {
		s.Fatalf("saslguard does not start: %v\n%s", err, s.guard.Output())
	}
}

// login logs in and fails the test if the server does not answer.
func (s *site) login(by lab.Login, client, user, password string) lab.Result {
	s.Helper()
	r, err := by(netip.MustParseAddr(client), user, password)
	if err != nil {
		s.Fatalf("%s from %s: %v", user, client, err)
	}
	return r
}

// mustEnter logs in with the right password and wants to be let in.
func (s *site) mustEnter(by lab.Login, client, user string) lab.Result {
	s.Helper()
	r := s.login(by, client, user, right)
	if !r.Accepted {
		s.Errorf("%s from %s is not let in with the right password: at %s: %s", user, client, r.Stage, r.Text)
	}
	return r
}

// mustNotEnter logs in with the right password and wants to be refused before
// it is verified.
func (s *site) mustNotEnter(by lab.Login, client, user string) lab.Result {
	s.Helper()
	before := s.dovecot.Verified(s.T, user)
	r := s.login(by, client, user, right)
	if r.Accepted {
		s.Errorf("%s from %s is let in", user, client)
	}
	if n := s.dovecot.Verified(s.T, user) - before; n != 0 {
		s.Errorf("%s from %s: the password was verified", user, client)
	}
	return r
}

// guess tries n different passwords one after another and returns how many
// were verified.
func (s *site) guess(by lab.Login, client, user string, n int) int {
	s.Helper()
	before := s.dovecot.Verified(s.T, user)
	for _, password := range wrong(user, client, n) {
		if r := s.login(by, client, user, password); r.Accepted {
			s.Errorf("%q from %s was accepted", password, client)
		}
	}
	return s.dovecot.Verified(s.T, user) - before
}

// wrong returns n wrong passwords with different hashes.
func wrong(user, salt string, n int) []string { return lab.WrongPasswords(nonce, user, right, salt, n) }

// waitFor waits until saslguard has logged a line.
func (s *site) waitFor(text string) {
	s.Helper()
	if _, err := s.guard.WaitLine(text, 15*time.Second); err != nil {
		s.Fatalf("saslguard never said %q: %v", text, err)
	}
}

// ban has a client banned, by reports such as Dovecot sends. It takes no time.
func (s *site) ban(client, user string) {
	s.Helper()
	for i := range 40 {
		body := fmt.Sprintf(`{"device_id":"","login":%q,"mech":"PLAIN","protocol":"imap","pwhash":"%03x","remote":%q,"session_id":"","success":false,"policy_reject":false,"tls":false}`,
			user, i, client)
		s.post("?command=report", body)
	}
	s.waitFor(`"prefix":"` + client)
}

func (s *site) post(query, body string) string {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "POST", "http://"+s.dovecotAddr+"/"+query, bytes.NewBufferString(body))
	if err != nil {
		s.Fatal(err)
	}
	return s.do(req)
}

func (s *site) get(url string) string {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "GET", url, nil)
	if err != nil {
		s.Fatal(err)
	}
	return s.do(req)
}

func (s *site) do(req *http.Request) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(req.Context(), 10*time.Second)
	defer cancel()
	res, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(answer)
}

// changePassword replaces a password in Dovecot's database.
func (s *site) changePassword(user, password string) {
	s.Helper()
	if err := s.dovecot.SetPassword(user, password); err != nil {
		s.Fatal(err)
	}
}
