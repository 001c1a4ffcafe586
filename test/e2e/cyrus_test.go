package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/pages"
)

// TestBesideCyrusSASL runs Postfix with Cyrus SASL, and saslguard over its log, with what
// docs/install.md prints: with saslauthd, and with a database of SASL's own.
func TestBesideCyrusSASL(t *testing.T) {
	t.Parallel()
	printed := pages.Under(t, "docs/install.md", "With Cyrus SASL")
	if len(printed) < 5 {
		t.Fatalf("there are %d examples", len(printed))
	}
	main, saslauthd, sasldb, maillog := printed[0], printed[1], printed[2], printed[3]
	users := map[string]string{alice: right, bob: right}
	t.Run("saslauthd", func(t *testing.T) {
		t.Parallel()
		dovecot := lab.StartDovecot(t, lab.DovecotOptions{Users: users})
		socket := lab.StartSaslauthd(t, dovecot.IMAP)
		cyrusHolds(t, false, main, saslauthd+"saslauthd_path: "+socket+"\n", maillog)
		if n := dovecot.Verified(t, bob); n < 10 {
			t.Errorf("saslauthd has asked for %d passwords", n)
		}
	})
	t.Run("sasldb", func(t *testing.T) {
		t.Parallel()
		cyrusHolds(t, true, main, sasldb+"sasldb_path: "+lab.SASLDB(t, users)+"\n", maillog)
	})
}

// cyrusHolds has a client guess until it is refused at CONNECT, and, where guesses are
// quick, another on one connection, on which nobody is asked, until it is banned.
func cyrusHolds(t *testing.T, quick bool, main, smtpdConf, maillog string) {
	t.Helper()
	p := newProgram(t)
	postfix := lab.StartPostfix(t, lab.PostfixOptions{
		CyrusSASL:          smtpdConf,
		ClientRestrictions: lab.PostfixService(t, p.postfix, "submission"),
		HardErrorLimit:     100,
		Main:               "smtpd_soft_error_limit = 100\n" + main,
	})
	const usual = "/var/log/mail.log"
	if !strings.Contains(maillog, usual) {
		t.Fatalf("the example does not read %s:\n%s", usual, maillog)
	}
	// Delays are another test's.
	p.write(t, "mode: enforce\nrules: {client: {tarpit: 9}}\n"+strings.Replace(maillog, usual, postfix.LogPath(), 1))
	guard := p.start(t)
	if _, err := guard.WaitLine("following a log", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	try := func(by lab.Login, client, user, password string) lab.Result {
		t.Helper()
		r, err := by(netip.MustParseAddr(client), user, password)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	enters := func(client string) {
		t.Helper()
		for _, m := range []lab.Mechanism{lab.Plain, lab.LoginMech} {
			if r := try(postfix.SMTPProxyLogin(m), client, alice, right); !r.Accepted {
				t.Errorf("%s is not let in with the right password by %s: %+v", client, m, r)
			}
		}
	}
	enters(home)
	guesses, refused := 0, lab.Result{}
	for deadline := time.Now().Add(60 * time.Second); refused.Stage != lab.StageGreeting; guesses++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d guesses, and not refused", guesses)
		}
		m := []lab.Mechanism{lab.Plain, lab.LoginMech}[guesses%2]
		if refused = try(postfix.SMTPProxyLogin(m), bot, bob, fmt.Sprint("guess", guesses)); refused.Accepted {
			t.Fatalf("%+v", refused)
		}
	}
	// A line of a log comes a moment after its guess, so that it may be some more.
	if guesses < 10 || refused.Code != 421 {
		t.Errorf("after %d guesses: %+v", guesses, refused)
	}
	t.Logf("refused at CONNECT after %d guesses", guesses)
	enters(home)

	if !quick {
		return
	}
	const hasty = "203.0.113.67"
	s, greeting, err := lab.DialSMTP(postfix.SubmissionProxy, lab.ProxyV1(netip.MustParseAddrPort(hasty+":4242"), postfix.SubmissionProxy))
	if err != nil || greeting.Code != 220 {
		t.Fatalf("%+v, %v", greeting, err)
	}
	defer s.Close()
	if _, err := s.Hello("client.lab.test"); err != nil {
		t.Fatal(err)
	}
	for i := range 22 {
		if r, err := s.Auth(lab.Plain, bob, fmt.Sprint("guess", i)); err != nil || r.Code != 535 {
			t.Fatalf("guess %d: %+v, %v", i, r, err)
		}
	}
	if _, err := guard.WaitLine(`"prefix":"`+hasty, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if r := try(postfix.SMTPProxyLogin(lab.Plain), hasty, alice, right); r.Stage != lab.StageGreeting || r.Code != 421 {
		t.Errorf("the banned client is not refused at CONNECT: %+v", r)
	}
	enters(home)
}
