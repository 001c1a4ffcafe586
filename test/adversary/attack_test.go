package adversary

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// guess is one password that an attacker tries.
type guess struct {
	by                     lab.Login
	client, user, password string
}

// attack tries guesses, so many at the same time, each on a connection of its own.
// It fails the test where one is accepted. A server that hangs up has answered too.
func (s *site) attack(atOnce int, guesses []guess) {
	s.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, len(guesses)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(guesses) {
					return
				}
				g := guesses[i]
				if r, err := g.by(netip.MustParseAddr(g.client), g.user, g.password); err == nil && r.Accepted {
					s.Errorf("%s from %s: the guess %q was accepted", g.user, g.client, g.password)
				}
			}
		})
	}
	wg.Wait()
}

// exactly adds a row, and fails the test if not just as many guesses were verified as
// the rules allow.
func (s *site) exactly(r row, allowed int) {
	s.Helper()
	r.Half, r.Allowed = attackers, number(allowed)
	add(s.T, r)
	if r.Verified != allowed {
		s.Errorf("%s: %d of %d guesses were verified, the rules allow %d", r.Scenario, r.Verified, r.Guesses, allowed)
	}
}

// atMost is exactly for an upper bound.
func (s *site) atMost(r row, allowed int) {
	s.Helper()
	r.Half, r.Allowed = attackers, fmt.Sprintf("≤ %d", allowed)
	add(s.T, r)
	if r.Verified > allowed {
		s.Errorf("%s: %d of %d guesses were verified, the rules allow %d at most", r.Scenario, r.Verified, r.Guesses, allowed)
	}
}

// together is exactly for hosts that share a budget by Redis: as long as that answered
// in time. Else it is a budget for each host at most.
func (s *site) together(r row, allowed int) {
	s.Helper()
	late := s.late()
	if late == 0 {
		s.exactly(r, allowed)
		return
	}
	r.Note = strings.TrimPrefix(r.Note+fmt.Sprintf("; Redis was late %d times", late), "; ")
	s.atMost(r, allowed*len(s.hosts))
}

// late is how often a host has decided by itself, since Redis had not answered in time.
func (s *site) late() int {
	s.Helper()
	n := int(s.metric("saslguard_store_remote_errors_total", ""))
	for _, h := range s.hosts { // slow answers, too, have a host decide by itself
		n += strings.Count(h.guard.Output(), "deciding by this host's own scores")
	}
	return n
}

// bannedAfter is how long after a time the first host banned a client or its network:
// 0, if none did.
func (s *site) bannedAfter(began time.Time, client string) time.Duration {
	s.Helper()
	var first time.Duration
	for _, h := range s.hosts {
		for line := range strings.Lines(h.guard.Output()) {
			var said struct {
				At     time.Time    `json:"time"`
				Text   string       `json:"msg"`
				Prefix netip.Prefix `json:"prefix"`
			}
			if err := json.Unmarshal([]byte(line), &said); err != nil || !strings.HasPrefix(said.Text, "banned") || !said.Prefix.Contains(netip.MustParseAddr(client)) {
				continue
			}
			if after := said.At.Sub(began); first == 0 || after < first {
				first = after
			}
		}
	}
	return first
}

// refused tells whether a login was refused by policy, and not for its password.
func refused(r lab.Result) bool {
	return r.Stage == lab.StageGreeting || strings.Contains(r.Text, "Too many failed logins")
}
