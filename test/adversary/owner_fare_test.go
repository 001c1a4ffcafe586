package adversary

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// fare is how owners fared: how long their logins with the right password took, and
// how many were refused.
type fare struct {
	mu      sync.Mutex
	took    []time.Duration
	refused int
	why     string // the latest refusal
}

// enter logs in with the right password.
func (f *fare) enter(s *site, by lab.Login, client, user, password string) {
	r, err := by(netip.MustParseAddr(client), user, password)
	f.note(r, err, user+" from "+client)
}

// note adds how one login came out, and of whom.
func (f *fare) note(r lab.Result, err error, who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = append(f.took, r.Took)
	if err != nil || !r.Accepted {
		f.refused++
		f.why = fmt.Sprintf("%s at %s: %s %v", who, r.Stage, r.Text, err)
	}
}

// quantile is the time below which so many of a hundred logins are.
func (f *fare) quantile(percent int) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.took) == 0 {
		return 0
	}
	slices.Sort(f.took)
	return f.took[(len(f.took)-1)*percent/100]
}

// compare adds a row of owners, with what saslguard adds to the same logins on a host
// without it, and fails the test if one was refused.
func (s *site) compare(scenario string, guarded, unguarded *fare) {
	s.Helper()
	add(s.T, row{
		Half: owners, Scenario: scenario, Logins: len(guarded.took), Refused: guarded.refused,
		P50: max(0, guarded.quantile(50)-unguarded.quantile(50)), P99: max(0, guarded.quantile(99)-unguarded.quantile(99)),
		Note: fmt.Sprintf("p50 %s, p99 %s; without a guard %s, %s", span(guarded.quantile(50)), span(guarded.quantile(99)),
			span(unguarded.quantile(50)), span(unguarded.quantile(99))),
	})
	for name, f := range map[string]*fare{withSaslguard: guarded, withNothing: unguarded} {
		if f.refused > 0 {
			s.Errorf("%s, %s: %d of %d logins with the right password were refused; the last one: %s", scenario, name, f.refused, len(f.took), f.why)
		}
	}
}

// besiege has a botnet guess at a user, an address a guess, and one more guesser sit
// at an address where others log in, until it is told to end. It returns how many
// guesses were made, and begins to do so once the user's account has been attacked
// enough to be refused.
func (s *site) besiege(user, among string) (end func() (guesses int)) {
	s.Helper()
	const most = 4000
	h, stop := s.hosts[0], make(chan struct{})
	guesses := wrong(user, "a botnet", most)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	try := func(client string) bool {
		mu.Lock()
		n := made
		made++
		mu.Unlock()
		if n >= most {
			return false
		}
		if r, err := h.imap(netip.MustParseAddr(client), user, guesses[n]); err == nil && r.Accepted {
			s.Errorf("the guess %q was accepted", guesses[n])
		}
		select {
		case <-stop:
			return false
		case <-time.After(20 * time.Millisecond): // one core is for the owners
			return true
		}
	}
	for bot := range 30 {
		try(fmt.Sprintf("203.0.%d.1", bot))
	}
	wg.Go(func() {
		for n := 30; try(fmt.Sprintf("203.%d.%d.1", n/250, n%250)); n++ {
		}
	})
	wg.Go(func() {
		for try(among) {
		}
	})
	return func() int {
		close(stop)
		wg.Wait()
		return min(made, most)
	}
}

// setPassword replaces a password in Dovecot's database.
func (h *host) setPassword(user, password string) {
	h.Helper()
	if err := h.dovecot.SetPassword(user, password); err != nil {
		h.Fatal(err)
	}
}
