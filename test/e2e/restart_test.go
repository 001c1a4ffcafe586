package e2e

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// restarts is how often saslguard is restarted under load.
const restarts = 10

// TestRestartsLoseNothing restarts saslguard again and again while owners and banned
// guessers log in, with the sockets held as systemd holds them. Owners are let in,
// nobody gets a temporary error, and what is asked while nobody serves is answered by
// the next one: a banned client is not let through unasked even once.
func TestRestartsLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, siteOptions{held: true, patient: true})
	const banned = "203.0.113.66"
	s.ban(banned, carol)
	for _, by := range []lab.Login{s.imap, s.pop3, s.smtp} {
		s.mustEnter(by, "198.51.100.1", alice)
	}

	stop := make(chan struct{})
	var people sync.WaitGroup
	var owners, guesses atomic.Int64
	again := func(n *atomic.Int64, by lab.Login, client, user string, judge func(r lab.Result, err error)) {
		people.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				judge(by(netip.MustParseAddr(client), user, right))
				n.Add(1)
			}
		})
	}
	for name, by := range map[string]lab.Login{"IMAP": s.imap, "POP3": s.pop3, "SMTP": s.smtp} {
		again(&owners, by, "198.51.100.1", alice, func(r lab.Result, err error) {
			if err != nil || !r.Accepted {
				t.Errorf("%s: the owner is not let in: %v, at %s: %d %s", name, err, r.Stage, r.Code, r.Text)
			}
		})
		again(&owners, by, "198.51.100.2", bob, func(r lab.Result, err error) {
			if err != nil || !r.Accepted {
				t.Errorf("%s: the owner is not let in: %v, at %s: %d %s", name, err, r.Stage, r.Code, r.Text)
			}
		})
		// With the right password: whoever is not asked for lets it in.
		again(&guesses, by, banned, dave, func(r lab.Result, err error) {
			if err != nil || r.Accepted || r.Code/100 == 4 && r.Code != 421 {
				t.Errorf("%s: the banned client: %v, accepted %t, at %s: %d %s", name, err, r.Accepted, r.Stage, r.Code, r.Text)
			}
		})
	}
	longest := time.Duration(0)
	for range restarts {
		before := owners.Load() + guesses.Load()
		begin := time.Now()
		stopped(t, s.guard)
		s.startGuard()
		longest = max(longest, time.Since(begin))
		for end := time.Now().Add(20 * time.Second); owners.Load()+guesses.Load() < before+20; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("after a restart nobody gets on")
			}
		}
	}
	close(stop)
	people.Wait()
	t.Logf("%d restarts, the longest of %v; %d logins of owners, %d of a banned client", restarts, longest.Round(time.Millisecond), owners.Load(), guesses.Load())

	if n := s.dovecot.Verified(t, dave); n != 0 {
		t.Errorf("%d passwords of a banned client were verified", n)
	}
	if log := s.dovecot.Log(); strings.Contains(log, "Policy server HTTP error") {
		t.Errorf("Dovecot got no answer: %s", firstLine(log, "Policy server HTTP error"))
	}
	if log := s.postfix.Log(); strings.Contains(log, "problem talking to server") {
		t.Errorf("Postfix got no answer: %s", firstLine(log, "problem talking to server"))
	}
}

// firstLine is the first line of a text with words in it.
func firstLine(text, words string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
