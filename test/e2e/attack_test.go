package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

const (
	bot  = "203.0.113.66"
	home = "198.51.100.7"
)

// One guesser, one protocol after the other: delayed, refused before his
// password is verified, hung up on, banned.
func TestAGuesserIsStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, by := range map[string]struct {
		login        lab.Login
		client, user string
	}{
		"IMAP": {s.imap, "203.0.113.1", alice},
		"POP3": {s.pop3, "203.0.113.2", bob},
		"SMTP": {s.smtp, "203.0.113.3", carol},
	} {
		if n := s.guess(by.login, by.client, by.user, 14); n != 10 {
			t.Errorf("%s: %d guesses were verified, the rules allow 10", name, n)
		}
		s.mustNotEnter(by.login, by.client, by.user)
		if r := s.login(s.imap, by.client, by.user, "one more"); !strings.Contains(r.Text, "Too many failed logins") {
			t.Errorf("%s: then IMAP says %q", name, r.Text)
		}
		r := s.mustNotEnter(s.smtp, by.client, by.user)
		if r.Stage != lab.StageGreeting || r.Code != 421 || !strings.Contains(r.Text, "4.7.0") {
			t.Errorf("%s: then Postfix says at %s: %d %s", name, r.Stage, r.Code, r.Text)
		}
		s.mustEnter(by.login, "198.51.100.77", by.user)
	}
	s.guess(s.imap, bot, dave, 30)
	s.waitFor("banned")
	s.mustNotEnter(s.imap, bot, dave)
	s.mustNotEnter(s.pop3, bot, dave)
	if r := s.mustNotEnter(s.smtp, bot, dave); r.Stage != lab.StageGreeting {
		t.Errorf("a banned client reached %s at Postfix", r.Stage)
	}
	s.mustEnter(s.imap, home, dave)
	if m := s.get("http://" + s.adminAddr + "/metrics"); !strings.Contains(m, `saslguard_bans_total{observed="false",rule="client-score"}`) {
		t.Error("the metrics know of no ban")
	}
	if h := s.get("http://" + s.adminAddr + "/healthz"); !strings.Contains(h, `"state": "ok"`) {
		t.Errorf("health: %s", h)
	}
}

func TestOffendersAreDelayed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--set", "rules.tarpit.max=3s", "--set", "rules.tarpit.max_smtp=3s")
	for name, by := range map[string]struct {
		login        lab.Login
		client, user string
	}{"IMAP": {s.imap, "203.0.113.1", alice}, "SMTP": {s.smtp, "203.0.113.2", bob}} {
		fours := wrong(by.user, by.client, 4)
		for i := range fours {
			s.login(by.login, by.client, by.user, fours[i])
		}
		r := s.mustEnter(by.login, by.client, by.user)
		if r.Took < time.Second || r.Took > 9*time.Second {
			t.Errorf("%s: with 4 points a login takes %s", name, r.Took)
		}
		if r := s.mustEnter(by.login, home, by.user); r.Took > 900*time.Millisecond {
			t.Errorf("%s: somebody else is delayed: %s", name, r.Took)
		}
	}
}

// Guesses made at the same time cannot all pass a score that none has raised
// yet.
func TestParallelGuessesAreTheBudget(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const connections, each = 24, 8
	var wg sync.WaitGroup
	passwords := wrong(alice, bot, connections*each)
	for c := range connections {
		wg.Go(func() {
			by := []lab.Login{s.imap, s.pop3, s.smtp}[c%3]
			for _, password := range passwords[c*each : (c+1)*each] {
				r, err := by(netip.MustParseAddr(bot), alice, password)
				if err == nil && r.Accepted {
					t.Error("a guess was accepted")
				}
			}
		})
	}
	wg.Wait()
	if n := s.dovecot.Verified(t, alice); n > 10 || n == 0 {
		t.Errorf("%d of %d parallel guesses were verified, the rules allow 10", n, connections*each)
	}
}

func TestChallengeMechanismsAreGuardedToo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for m, client := range map[lab.Mechanism]string{lab.CRAMMD5: "203.0.113.1", lab.SCRAMSHA256: "203.0.113.2"} {
		user := map[lab.Mechanism]string{lab.CRAMMD5: alice, lab.SCRAMSHA256: bob}[m]
		if n := s.guess(s.dovecot.IMAPLogin(m), client, user, 14); n != 10 {
			t.Errorf("%s: %d guesses were verified, the rules allow 10", m, n)
		}
	}
}

func TestABanSurvivesKill9(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mustEnter(s.imap, home, alice)
	s.ban(bot, bob)
	time.Sleep(200 * time.Millisecond) // familiar pairs are written in batches
	if err := s.guard.Kill9(); err != nil {
		t.Fatal(err)
	}
	s.startGuard()
	if r := s.mustNotEnter(s.smtp, bot, alice); r.Stage != lab.StageGreeting || r.Code != 421 {
		t.Errorf("after a restart the banned client reaches %s: %s", r.Stage, r.Text)
	}
	s.mustEnter(s.smtp, home, alice)
}

func TestOnTheMXMailGoesOnForBannedClients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ban(bot, bob)
	m, _, err := lab.DialSMTP(s.postfix.MX, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if r, err := m.XClient(netip.MustParseAddr(bot)); err != nil || r.Code != 220 {
		t.Fatalf("XCLIENT: %v %v", r, err)
	}
	if r, err := m.Hello("bot.example"); err != nil || r.Code != 250 {
		t.Fatalf("EHLO: %v %v", r, err)
	}
	if r, err := m.Send("someone@example.org", "alice@lab.test", "Subject: hello\r\n\r\nhello\r\n"); err != nil || r.Code != 250 {
		t.Errorf("mail to the MX: %v %v", r, err)
	}
}

func TestObserveRefusesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--set", "mode=observe", "--enforce=false")
	if n := s.guess(s.imap, bot, alice, 25); n != 25 {
		t.Errorf("%d of 25 guesses were verified", n)
	}
	s.waitFor("login would be refused")
	s.waitFor(`"observed":true`)
	s.mustEnter(s.smtp, bot, alice)
}

func TestPostfixAsksOverAUnixSocket(t *testing.T) {
	t.Parallel()
	lab.Require(t)
	s := &site{T: t, bin: lab.Build(t), state: t.TempDir()}
	s.dovecotAddr = fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	s.adminAddr = fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	s.postfix = lab.StartPostfix(t, lab.PostfixOptions{
		ClientRestrictions: "check_policy_service { unix:private/saslguard, timeout=3s, default_action=DUNNO, policy_context=submission }",
	})
	s.postfixAddr = "unix:" + s.postfix.Queue + "/private/saslguard"
	s.args = []string{"--set", "postfix.socket_mode=0660", "--set", "postfix.socket_owner=postfix"}
	s.startGuard()
	s.ban(bot, bob)
	r, err := s.postfix.SMTPProxyLogin(lab.Plain)(netip.MustParseAddr(bot), bob, right)
	if err != nil || r.Stage != lab.StageGreeting || r.Code != 421 {
		t.Errorf("over the Unix socket the banned client reaches %s: %s (%v)", r.Stage, r.Text, err)
	}
	client, reply, err := lab.DialSMTP(s.postfix.SubmissionProxy, lab.ProxyV1(netip.MustParseAddrPort(home+":1025"), s.postfix.SubmissionProxy))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if reply.Code != 220 {
		t.Errorf("others are greeted with %s", reply)
	}
}
