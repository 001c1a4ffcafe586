package guard

import (
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// guesses tells the guesses of a session apart where no hash of the password does, as
// with CRAM-MD5 and SCRAM: each question is about another guess, which needs a place of
// its own, and reports are about the oldest that was not reported. What is reported is
// over when the report arrives, and not only when it is counted. Otherwise many
// connections, each with its next guess while the one before is queued, would share the
// places of what has failed already.
//
// Dovecot may also ask about a guess that succeeds before and after it has verified it
// (auth_policy_check_after_auth). No question says which it is, and the report of the
// guess before may come later than the next question, on another connection. So a
// second place is taken where there is room; where there is none, the question waits
// as others do, and if no report has come then, it was about the same guess.
type guesses struct{ recent[underWay] }

// underWay is what is known of the guesses of one session at one account.
type underWay struct {
	over  uint32 // how many are over
	asked uint32 // how many have been asked about since, and are not reported
	last  int64  // when the last was, in Unix nanoseconds
}

// ask notes a question and returns how many guesses came before in the session, and
// whether one of them is not reported. first is the name of the session's first.
func (s *guesses) ask(first uint64, now time.Time) (n uint32, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	u, _ := s.get(first)
	if now.UnixNano()-u.last > int64(placeLife) {
		u.over, u.asked = u.over+u.asked, 0 // nobody has reported those, and their places have lapsed
	}
	n, again = u.over+u.asked, u.asked > 0
	u.asked, u.last = u.asked+1, now.UnixNano()
	s.put(first, u, now)
	return n, again
}

// share tells whether the question about the guess after n others may have been about
// the one before it: no report has come, and no other question.
func (s *guesses) share(first uint64, n uint32, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	u, _ := s.get(first)
	if u.asked < 2 || n != u.over+u.asked-1 {
		return false
	}
	u.asked--
	s.put(first, u, now)
	return true
}

// end notes a report. The guess that it is about came after n others, and so many later
// ones were asked about. One that succeeds is the last: all of them are over.
func (s *guesses) end(first uint64, o score.Outcome, now time.Time) (n, later uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	u, _ := s.get(first)
	n, later = u.over, max(u.asked, 1)-1
	if o == score.Success || o == score.Ignored {
		u.over, u.asked = u.over+later, 0
	}
	u.over, u.asked = u.over+1, max(u.asked, 1)-1
	s.put(first, u, now)
	return n, later
}

// nextGuess lies between the names of a session's guesses: they are odd as all names
// are. It is twice the factor of Fibonacci hashing.
const nextGuess = 0x3c6ef372fe94f82a

// apart tells whether it takes the session to tell an attempt's guess from others.
func (who *identity) apart(a *Attempt) bool {
	return a.Session != "" && (who.secret == score.None || who.secret == score.Unsure)
}

// asked has a question be about a guess of its own in its session.
func (g *Guard) asked(a *Attempt, who *identity) {
	if !who.apart(a) || a.Stale {
		return
	}
	first := who.guess
	n, again := g.guesses.ask(first, g.now())
	who.guess += uint64(n) * nextGuess
	if again {
		who.first, who.others = first, n
	}
}

// asksAgain has a question that finds no room be about the guess before, if that is
// possible.
func (g *Guard) asksAgain(who *identity) bool {
	if who.first == 0 || !g.guesses.share(who.first, who.others, g.now()) {
		return false
	}
	who.guess -= nextGuess
	return true
}

// reported is which guess a report is about. Where it takes the session to tell, that is
// found out when the report arrives.
type reported struct {
	guess uint64 // as store.Op.Guess; 0: not found out yet
	later uint32 // how many of its session were asked about since
}

// ended has a report be about the oldest guess of its session, and ends that, unless it
// was done when the report was queued.
func (g *Guard) ended(a *Attempt, who *identity) {
	if who.later = a.reported.later; a.reported.guess != 0 || !who.apart(a) {
		return
	}
	n, later := g.guesses.end(who.guess, a.Outcome, g.now())
	who.guess, who.later = who.guess+uint64(n)*nextGuess, later
}

// arrived does that for a report that will be queued.
func (g *Guard) arrived(a *Attempt) {
	if who := (identity{secret: secretKind(a)}); who.apart(a) {
		who = g.identify(a, g.rules.Load())
		g.ended(a, &who)
		a.reported = reported{who.guess, who.later}
	}
}

// settleLater adds what settles the further places of a guess that ops[k] says is over,
// one for each time that it was asked about again.
func (g *Guard) settleLater(ops []store.Op, k int, later uint32) []store.Op {
	if o := ops[k].Outcome; o != score.Success && o != score.Ignored {
		return ops // those are other guesses
	}
	op := ops[k]
	op.Outcome = score.Ignored
	for range min(later, score.MaxPlaces) {
		op.ID = g.random()
		op.Guess += nextGuess
		ops = append(ops, op)
	}
	return ops
}
