package adversary

import (
	"sync"
	"testing"
	"time"
)

// Redis dies in the middle of an attack: each host goes on from what it has heard last,
// which is three failures of the first host's own, and for the second, that was asked
// after it, four of both. When Redis is back nothing is given anew.
func TestGuessesWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	s := newSite(t, plan{hosts: 2, redis: true})
	const client = "203.0.113.1"
	all, began := s.overAll(client, user(0), 80), time.Now()
	s.attack(1, all[:4])
	if err := s.redis.Kill9(); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.hosts {
		h.waitForRedis(false)
	}
	s.attack(8, all[4:60])
	s.attack(2, all[60:72])
	down := s.verified(ofClient(client))
	if err := s.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.hosts {
		h.waitForRedis(true)
	}
	s.attack(2, all[72:])
	s.exactly(row{
		Scenario: "two hosts whose Redis dies meanwhile", Guesses: len(all), Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
		Note: "the first 4, and what each host knows to be left of 10",
	}, 4+(10-3)+(10-4))
	if after := s.verified(ofClient(client)) - down; after != 0 {
		t.Errorf("%d more were verified once Redis was back", after)
	}
}

// saslguard restarts while guesses are made. Where its sockets stay open, as the
// shipped systemd units have it, nobody is let through for that.
func TestGuessesWhileSaslguardRestarts(t *testing.T) {
	t.Parallel()
	for _, by := range []struct {
		name    string
		plan    plan
		stop    func(h *host) error
		allowed int // 0: not by any rule
	}{
		{"saslguard restarts, sockets of systemd", plan{activated: true}, func(h *host) error { return h.guard.Stop(15 * time.Second) }, 10},
		{"saslguard is killed and starts, sockets of systemd", plan{activated: true}, func(h *host) error { return h.guard.Kill9() }, 20},
		{"saslguard is killed and starts, without them", plan{}, func(h *host) error { return h.guard.Kill9() }, 0},
	} {
		if by.allowed == 0 && !*long {
			continue // Dovecot would not ask for too long
		}
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, by.plan)
			const client = "203.0.113.1"
			all, began := s.overAll(client, user(0), 48), time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { s.attack(3, all) })
			time.Sleep(time.Second)
			h := s.hosts[0]
			if err := by.stop(h); err != nil {
				t.Error(err)
			}
			h.startGuard()
			wg.Wait()
			more := s.untilRefused(client, user(0))
			r := row{
				Scenario: by.name, Guesses: len(all) + more, Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
			}
			switch by.allowed {
			case 10:
				s.exactly(r, 10)
			case 20:
				r.Note = "what was counted in the last seconds may be lost"
				s.atMost(r, 20)
			default:
				r.Half, r.Note = attackers, "unasked until Dovecot comes back"
				add(t, r)
			}
		})
	}
}

// untilRefused guesses on until the client is refused, and returns how often.
func (s *site) untilRefused(client, user string) int {
	s.Helper()
	rest := wrong(user, client+" afterwards", 60)
	for i, password := range rest {
		if refused(s.try(s.hosts[0].imap, client, user, password)) {
			return i + 1
		}
	}
	s.Errorf("%s is not refused after %d guesses more", client, len(rest))
	return len(rest)
}
