package adversary

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// The password database is away for a while: all logins fail, and Dovecot 2.3 cannot
// tell that from wrong passwords. Nobody is refused for it when it is back, and nobody is
// banned. Mail that needs no login comes in all the while.
func TestAPasswordDatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	const people = 12 // each in a network of his own, as many as pull the brake and two
	s := newSite(t, plan{users: append(users(people), "list@lab.test")})
	h := s.hosts[0]
	home := func(i int) string { return fmt.Sprintf("192.0.%d.7", 10+i) }
	for i := range people {
		s.mustEnter(h.imap, home(i), user(i))
	}
	var list sync.WaitGroup
	messages, rounds := 100, 3
	if *long {
		messages, rounds = 3000, 12
	}
	byMX, bySubmission := &fare{}, &fare{}
	list.Go(func() { s.mailing(byMX, h.postfix.MX, messages, "") })
	s.mailing(bySubmission, h.postfix.Submission, messages/5, "list@lab.test")

	putBack := h.breakPasswords()
	failed := 0
	for n := range rounds {
		var all sync.WaitGroup
		for i := range people {
			all.Go(func() {
				r, err := s.logins()[(n+i)%3](netip.MustParseAddr(home(i)), user(i), right)
				if err == nil && (r.Accepted || refused(r)) {
					s.Errorf("while the password database is away %s: %v at %s: %s", user(i), r.Accepted, r.Stage, r.Text)
				}
			})
		}
		all.Wait()
		failed += people
	}
	putBack()
	back := &fare{}
	for i := range people {
		for _, by := range s.logins() {
			back.enter(s, by, home(i), user(i), right)
		}
	}
	list.Wait()
	s.spared("a password database that was away, and is back", back, fmt.Sprintf("%d logins had failed meanwhile", failed))
	s.spared("a mailing-list server by port 25, 20 at once", byMX, "meanwhile")
	s.spared("a mailing-list server that logs in for each message, 20 at once", bySubmission, "before that")
	if said := h.guard.Output(); strings.Contains(said, `"msg":"banned`) {
		s.Error("somebody was banned")
	} else if !strings.Contains(said, "automatic bans pause") {
		s.Error("nobody was told that the password database is broken")
	}
}

// breakPasswords puts a directory where Dovecot's password database was, so that it
// cannot be read, and returns when Dovecot knows.
func (h *host) breakPasswords() (putBack func()) {
	h.Helper()
	users := filepath.Join(h.dovecot.Dir, "users")
	do := func(errs ...error) {
		if err := errors.Join(errs...); err != nil {
			h.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // it looks at the file once a second
	}
	do(os.Rename(users, users+".away"), os.Mkdir(users, 0o755))
	return func() { do(os.Remove(users), os.Rename(users+".away", users)) }
}

// mailing hands in messages, 20 at once and each on a connection of its own, as a login
// if there is one.
func (s *site) mailing(f *fare, to netip.AddrPort, messages int, login string) {
	queue := make(chan int)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for n := range queue {
				began := time.Now()
				r, err := s.mail(to, n, login)
				f.note(lab.Result{Accepted: err == nil && r.Code == 250, Text: r.Text, Took: time.Since(began)}, err, "a message of the list server")
			}
		})
	}
	for n := range messages {
		queue <- n
	}
	close(queue)
	all.Wait()
}

// mail hands in one message from the list server, and returns the first refusal.
func (s *site) mail(to netip.AddrPort, n int, login string) (lab.Reply, error) {
	c, r, err := lab.DialSMTP(to, nil)
	if err != nil || r.Code != 220 {
		return r, err
	}
	defer c.Close()
	if r, err = c.XClient(netip.MustParseAddr("198.51.104.25")); err != nil || r.Code != 220 {
		return r, err
	}
	if r, err = c.Hello("lists.example.org"); err != nil {
		return r, err
	}
	if login != "" {
		if r, err = c.Auth(lab.Plain, login, right); err != nil || r.Code != 235 {
			return r, err
		}
	}
	return c.Send("list-bounces@example.org", user(n%10), "Hello.\n")
}

// spared adds a row of owners of whom nobody may be refused.
func (s *site) spared(scenario string, f *fare, note string) {
	s.Helper()
	add(s.T, row{
		Half: owners, Scenario: scenario, Logins: len(f.took), Refused: f.refused,
		Note: fmt.Sprintf("%s; p50 %s, p99 %s", note, span(f.quantile(50)), span(f.quantile(99))),
	})
	if f.refused > 0 {
		s.Errorf("%s: %d of %d were refused; the last one: %s", scenario, f.refused, len(f.took), f.why)
	}
}
