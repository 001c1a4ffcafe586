package adversary

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// 64 connections at once on IMAP, POP3 and SMTP of two hosts: guesses made at the
// same moment cannot all pass a score that none of them has raised yet. What they
// leave of the budget is then guessed one after the other.
func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	const connections = 64
	atOnce, after := 2*connections, 20
	if *long {
		atOnce = 10 * connections
	}
	for _, by := range []struct {
		name    string
		plan    plan
		allowed int
	}{
		{"two hosts with one Redis", plan{hosts: 2, redis: true}, 10},
		{"two hosts, each for itself", plan{hosts: 2}, 20},
	} {
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, by.plan)
			const client = "203.0.113.1"
			logins := s.logins()
			var all []guess
			for i, password := range wrong(user(0), client, atOnce+after) {
				all = append(all, guess{logins[i%len(logins)], client, user(0), password})
			}
			began := time.Now()
			s.attack(connections, all[:atOnce])
			s.attack(2, all[atOnce:])
			s.together(row{
				Scenario: fmt.Sprintf("%d connections at once, %s", connections, by.name), Guesses: len(all),
				Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
			}, by.allowed)
		})
	}
}

// Many connections, each with one guess after the other by a mechanism of which there
// is no hash, where Dovecot answers at once: the next guess comes before the report of
// the one before has been counted.
func TestGuessesOnManyConnections(t *testing.T) {
	t.Parallel()
	const connections, each, after = 32, 3, 2
	s := newSite(t, plan{atOnce: true, redis: true})
	for i, m := range []lab.Mechanism{lab.CRAMMD5, lab.SCRAMSHA256} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			client, began := fmt.Sprintf("203.0.113.%d", 1+i), time.Now()
			passwords := wrong(user(i), client, connections*each+after)
			var wg sync.WaitGroup
			for own := range slices.Chunk(passwords[after:], each) {
				wg.Go(func() { s.hosts[0].talkAuthenticate(m, client, user(i), own) })
			}
			wg.Wait()
			for _, p := range passwords[:after] {
				s.attack(1, []guess{{s.hosts[0].imap, client, user(i), p}})
			}
			s.together(row{
				Scenario: fmt.Sprintf("%s, %d connections with guess after guess", m, connections), Guesses: len(passwords),
				Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
			}, 10)
		})
	}
}

// talkAuthenticate guesses on one connection, by IMAP, until it ends.
func (h *host) talkAuthenticate(m lab.Mechanism, client, user string, passwords []string) {
	c, _, err := lab.DialIMAP(h.dovecot.IMAPProxy, lab.ProxyV1(netip.AddrPortFrom(netip.MustParseAddr(client), 50000), h.dovecot.IMAPProxy))
	if err != nil {
		return // banned: hung up on
	}
	defer c.Close()
	for _, p := range passwords {
		if _, err := c.Authenticate(m, user, p); err != nil {
			return
		}
	}
}
