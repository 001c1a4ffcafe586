package adversary

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/saslguard/saslguard/test/lab"
)

// Where the owners are. In the office there is a guesser too.
const (
	theOffice = "198.51.100.10"
	atHome    = "198.51.101.7"
	loopback  = "127.0.0.1"
)

// ownersOf are the people of a site: the last three are not of the office.
type ownersOf struct {
	office                  []string
	attacked, phone, broken string
}

func people() ownersOf {
	n := 20
	if *long {
		n = 200
	}
	return ownersOf{office: users(n), attacked: user(n), phone: user(n + 1), broken: user(n + 2)}
}

func (o ownersOf) all() []string {
	return slices.Concat(o.office, []string{o.attacked, o.phone, o.broken})
}

// Owners log in during an attack, on a host with saslguard and, at the same time and
// under the same attack, on one without.
func TestOwnersDuringAnAttack(t *testing.T) {
	t.Parallel()
	who := people()
	fares := map[string]map[string]*fare{}
	var mu sync.Mutex
	t.Run("hosts", func(t *testing.T) {
		for guard, p := range map[string]plan{
			withSaslguard: {users: who.all()},
			withNothing:   {users: who.all(), unguarded: true},
		} {
			t.Run(guard, func(t *testing.T) {
				t.Parallel()
				f := newSite(t, p).day(who)
				mu.Lock()
				defer mu.Unlock()
				fares[guard] = f
			})
		}
	})
	if len(fares) < 2 {
		t.Fatal("a host has failed")
	}
	s := &site{T: t}
	for scenario, guarded := range fares[withSaslguard] {
		s.compare(scenario, guarded, fares[withNothing][scenario])
	}
}

// day is a day of the owners, most of it during an attack on one of them. It returns
// how they fared, by scenario.
func (s *site) day(who ownersOf) map[string]*fare {
	h := s.hosts[0]
	first := &fare{}
	s.morning(first, who.office, 4)
	s.mustEnter(h.imap, atHome, who.attacked)
	s.mustEnter(h.imap, atHome, who.phone)
	h.setPassword(who.phone, "new "+right)

	end := s.besiege(who.attacked, theOffice)
	fares := map[string]*fare{
		"an office at nine, on its first day":                                       first,
		"the office a day later, with a guesser in it and another account attacked": {},
		"the owner of the attacked account, at home":                                {},
		"the owner of the attacked account, travelling":                             {},
		"webmail on loopback":                                                       {},
		"beside a phone with the old password":                                      {},
		"beside a phone with a password that was never right":                       {},
	}
	var wg sync.WaitGroup
	run := func(scenario string, act func(f *fare)) { wg.Go(func() { act(fares[scenario]) }) }
	run("the office a day later, with a guesser in it and another account attacked", func(f *fare) { s.morning(f, who.office, 10) })
	run("the owner of the attacked account, at home", func(f *fare) {
		s.ways(func(n int, by lab.Login) { f.enter(s, by, atHome, who.attacked, right) })
	})
	run("the owner of the attacked account, travelling", func(f *fare) {
		s.ways(func(n int, by lab.Login) {
			f.enter(s, by, fmt.Sprintf("192.0.%d.9", 10+n), who.attacked, right)
		})
	})
	run("webmail on loopback", func(f *fare) {
		s.ways(func(n int, by lab.Login) { f.enter(s, by, loopback, who.office[n%len(who.office)], right) })
	})
	run("beside a phone with the old password", func(f *fare) {
		s.ways(func(n int, by lab.Login) {
			s.mistake(by, atHome, who.phone, right)
			f.enter(s, by, atHome, who.phone, "new "+right)
		})
	})
	run("beside a phone with a password that was never right", func(f *fare) {
		s.ways(func(n int, by lab.Login) {
			s.mistake(by, "198.51.102.7", who.broken, "never right")
			f.enter(s, by, "198.51.102.7", who.broken, right)
		})
	})
	wg.Wait()
	if n := end(); n < 25 {
		s.Errorf("only %d guesses were made meanwhile: that is no attack", n)
	}
	return fares
}

// morning has each of the staff log in at the office, on five connections at once, and
// so many people at a time.
func (s *site) morning(f *fare, staff []string, atOnce int) {
	h := s.hosts[0]
	queue := make(chan string)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for person := range queue {
				var devices sync.WaitGroup
				for range 5 {
					devices.Go(func() { f.enter(s, h.imap, theOffice, person, right) })
				}
				devices.Wait()
			}
		})
	}
	for _, person := range staff {
		queue <- person
	}
	close(queue)
	wg.Wait()
}

// ways logs in some times by IMAP, POP3 and SMTP in turn.
func (s *site) ways(act func(n int, by lab.Login)) {
	n := 9
	if *long {
		n = 60
	}
	ways := s.logins()
	for i := range n {
		act(i, ways[i%len(ways)])
	}
}

// mistake is a device that tries a wrong password, which is not let in.
func (s *site) mistake(by lab.Login, client, user, password string) {
	if r := s.try(by, client, user, password); r.Accepted {
		s.Errorf("%s from %s is let in with a wrong password", user, client)
	}
}
