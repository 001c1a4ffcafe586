package memory

import (
	"time"

	"github.com/saslguard/saslguard/score"
)

const day = int64(24 * time.Hour / time.Millisecond)

// note is what a successful login taught, or a request to forget an account.
type note struct {
	pair    pairKey
	until   uint32 // when the pair ceases to be familiar, Unix seconds; 0: nothing new
	token   uint32
	rightAt uint32 // when the token was right, Unix seconds; 0: nothing new
	keep    int
	forget  chan<- forgotten // set: forget the account instead
}

// befriend notes what a success taught: that the pair is familiar, if it is
// already or the client owed less than its tarpit score, and which password is
// right.
func (s *Store) befriend(a *attempt, owed score.Milli) {
	r, seconds := a.op.Rules, a.now/1000
	n := note{pair: pairKey{a.marks.Account, a.marks.Network}}
	good := a.out.Familiar || r.Client.Tarpit == 0 || owed < r.Client.Tarpit
	if a.network && r.FamiliarFor > 0 && good {
		until := (a.now + r.FamiliarFor) / 1000
		if !a.out.Familiar || until-a.until >= refreshAfter(r.FamiliarFor) {
			n.until = uint32(until)
		}
	}
	if a.op.Secret == score.Sure && r.Remember > 0 && r.RememberFor > 0 {
		if a.out.Known != 1 || seconds-a.rightAt >= refreshAfter(r.RememberFor) {
			n.token, n.rightAt, n.keep = a.op.Token, uint32(seconds), r.Remember
		}
	}
	switch {
	case n.until == 0 && n.rightAt == 0:
	case s.file == nil:
		s.notes.apply(&n)
	default:
		select {
		case s.notes.queue <- n:
		default:
			// Only a disk that cannot keep up with logins gets here. The next
			// login teaches the same.
			s.meters.dropped.Inc()
		}
	}
}

// refreshAfter is by how many seconds what is remembered for a span of
// milliseconds must have aged before it is written again.
func refreshAfter(span int64) int64 { return max(min(day, span/4)/1000, 1) }
