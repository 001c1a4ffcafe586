package adversary

import (
	"fmt"
	"testing"
	"time"
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
