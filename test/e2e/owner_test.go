package e2e

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// A botnet guesses at one account, an address a guess: its owner gets in from
// where he always is, and from a new network with his right password.
func TestTheOwnerOfAnAttackedAccountGetsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mustEnter(s.imap, home, alice)
	before := s.dovecot.Verified(t, alice)
	var wg sync.WaitGroup
	for i, password := range wrong(alice, "the botnet", 50) {
		wg.Go(func() {
			client := netip.AddrFrom4([4]byte{203, 0, byte(120 + i), 1})
			if r, err := s.imap(client, alice, password); err == nil && r.Accepted {
				t.Error("a guess was accepted")
			}
		})
	}
	wg.Wait()
	if n := s.dovecot.Verified(t, alice) - before; n != 20 {
		t.Errorf("%d guesses of the botnet were verified, the rules allow 20", n)
	}
	if n := s.guess(s.imap, "203.0.200.1", alice, 1); n != 0 {
		t.Error("one more of the botnet was verified")
	}
	s.mustEnter(s.imap, home, alice)
	s.mustEnter(s.smtp, home, alice)
	s.mustEnter(s.imap, "192.0.2.9", alice)
	s.mustEnter(s.smtp, "192.0.2.130", alice)
	s.mustEnter(s.pop3, "192.0.2.140", bob)
}

// A phone keeps trying last month's password, all day, from home and on the
// road; a typo repeated for ever is one guess.
func TestAnOldPasswordRefusesNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mustEnter(s.imap, home, alice)
	s.changePassword(alice, "autumn")
	for _, client := range []string{home, "192.0.2.9"} {
		for range 30 {
			if r := s.login(s.imap, client, alice, right); r.Accepted {
				t.Fatal("the old password still opens the mailbox")
			}
		}
		if r := s.login(s.imap, client, alice, "autumn"); !r.Accepted {
			t.Errorf("from %s the new password is refused after the old one: %s", client, r.Text)
		}
	}
	for range 30 {
		s.login(s.smtp, "192.0.2.200", bob, "always the same typo")
	}
	s.mustEnter(s.smtp, "192.0.2.200", bob)
}

func TestAnOfficeGoesOnWhileAGuesserSitsInIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, user := range []string{alice, bob, carol} {
		s.mustEnter(s.imap, home, user)
	}
	time.Sleep(300 * time.Millisecond) // familiar pairs are known once they are on disk
	if n := s.guess(s.imap, home, dave, 40); n > 10 {
		t.Errorf("%d guesses were verified, the rules allow 10", n)
	}
	s.mustNotEnter(s.imap, home, dave)
	for _, by := range []lab.Login{s.imap, s.pop3, s.smtp} {
		for _, user := range []string{alice, bob, carol} {
			s.mustEnter(by, home, user)
		}
	}
	s.waitFor("office")
	s.mustEnter(s.imap, "192.0.2.9", dave)
}

// saslguard is killed in the middle of logins and mail. Nobody notices; when it
// is back it guards again.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := map[string]int{}
	loop := func(what string, once func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := once(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				mu.Lock()
				done[what]++
				mu.Unlock()
			}
		})
	}
	client := netip.MustParseAddr(home)
	enter := func(by lab.Login, user string) func() error {
		return func() error {
			r, err := by(client, user, right)
			if err == nil && !r.Accepted {
				err = fmt.Errorf("not let in at %s: %s", r.Stage, r.Text)
			}
			return err
		}
	}
	loop("IMAP", enter(s.imap, alice))
	loop("POP3", enter(s.pop3, bob))
	loop("SMTP", enter(s.smtp, carol))
	loop("mail", func() error { return s.sendMail() })
	s.ban(bot, dave)
	count := func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		c := map[string]int{}
		for k, v := range done {
			c[k] = v
		}
		return c
	}
	for range 2 {
		time.Sleep(time.Second)
		if err := s.guard.Kill9(); err != nil {
			t.Fatal(err)
		}
		before := count()
		time.Sleep(4 * time.Second)
		for what, n := range count() {
			if n == before[what] {
				t.Errorf("%s stood still without saslguard", what)
			}
		}
		s.startGuard()
		s.eventuallyRefused(bot, dave)
	}
	close(stop)
	wg.Wait()
	t.Logf("done: %v", done)
}

// sendMail delivers a message to the MX, as another server does.
func (s *site) sendMail() error {
	m, _, err := lab.DialSMTP(s.postfix.MX, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Hello("sender.example"); err != nil {
		return err
	}
	r, err := m.Send("someone@example.org", "alice@lab.test", "Subject: hello\r\n\r\nhello\r\n")
	if err == nil && r.Code != 250 {
		err = fmt.Errorf("mail: %s", r)
	}
	return err
}

// eventuallyRefused waits until Dovecot asks again, which it does after a pause
// that grows with the outage, and Postfix too.
func (s *site) eventuallyRefused(client, user string) {
	s.Helper()
	addr := netip.MustParseAddr(client)
	for name, by := range map[string]lab.Login{"IMAP": s.imap, "SMTP": s.smtp} {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if r, err := by(addr, user, right); err == nil && !r.Accepted {
				break
			}
			if time.Now().After(deadline) {
				s.Errorf("%s: the banned client is let in 30 s after saslguard is back", name)
				break
			}
		}
	}
}
