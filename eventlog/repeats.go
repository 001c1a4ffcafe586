package eventlog

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// repeats keeps one client from filling the log: of what it does over and over
// the first few in a while are kept one by one, and of the rest how many there
// were.
type repeats struct {
	now   map[repeatKey]*repeat
	spare map[repeatKey]*repeat // empty: room for the next while, or nil
	until time.Time             // when the present while is over
	seed  maphash.Seed          // of what tells accounts apart
}

const (
	repeatTime = time.Minute
	// repeatFree is how many of one kind by one client are kept one by one: more
	// than a guesser gets to see before he is refused, so that all the accounts he
	// tried are there.
	repeatFree = 20
	repeatKeys = 20_000 // what is told apart in a while; of the rest, see beyond
)

// repeatKey is what makes events each other's repeats. It is made of numbers only, for
// one of texts takes several times as long to look up.
type repeatKey struct {
	address uint64 // the client's prefix
	subnet  uint64
	account uint64 // of successes: each account counts by itself
	bits    uint8  // of the prefix, which ones of IPv4 have apart; 0: none
	attempt bool   // or a verdict
	action  guard.Action
	outcome score.Outcome
	rule    uint8 // its number
}

// repeat is what has repeated.
type repeat struct {
	seen  int
	last  uint64 // which of the log's the last is that was kept by itself
	like  *Event // what stands for those that were not, once there are any
	count int    // of those

	at            time.Time
	added, points score.Milli
	who           uint64 // the account of the first of them, as a number
	account       string // the same as it is written; "": several, or none
}

// keyOf is what makes an event of a kind the repeat of others, and whether it is
// one that repeats. who is its account as a number.
func (r *repeats) keyOf(kind Kind, e *guard.Event) (k repeatKey, who uint64, repeats bool) {
	if kind != Verdict && kind != Attempt {
		return k, 0, false
	}
	k = repeatKey{attempt: kind == Attempt, action: e.Verdict.Action, outcome: e.Outcome, rule: ruleOf(e).Number()}
	if e.Client.IsValid() {
		a := e.Client.Addr()
		b := a.As16()
		k.address, k.subnet = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
		k.bits = uint8(e.Client.Bits()) + 1
		if a.Is4() {
			k.bits += 129
		}
	}
	who = maphash.String(r.seed, e.Account)
	if e.Outcome == score.Success {
		k.account = who
	}
	return k, who, true
}

// free is how many of a kind are kept one by one.
func (k *repeatKey) free() int {
	if k.outcome == score.Success || k.banned() {
		return 1 // a mail program logs in many times a minute, and a bot does not mind a ban
	}
	return repeatFree
}

// banned tells whether a ban has refused: nothing is learnt from it but that it was
// needed.
func (k *repeatKey) banned() bool {
	switch k.rule {
	case guard.RuleBan.Number(), guard.RuleOperatorBan.Number(), guard.RuleAccountBlock.Number():
		return !k.attempt
	}
	return false
}

// beyond is the key of one that is not told apart any more, and whether there is one:
// of a net of bots that goes on although it is banned, it is enough how much there was.
func (k *repeatKey) beyond() (repeatKey, bool) {
	return repeatKey{attempt: k.attempt, action: k.action, rule: k.rule}, k.banned()
}

// find returns what stands for events like one, or nil, and whether for those of
// several clients.
func (r *repeats) find(k repeatKey) (one *repeat, several bool) {
	if one = r.now[k]; one != nil || len(r.now) < repeatKeys {
		return one, false
	}
	if k, several = k.beyond(); !several {
		return nil, false
	}
	return r.now[k], true
}

// count adds an event to what stands for others like it, and tells whether it need not
// be kept by itself. So that who does the same over and over costs no more than that,
// nothing of the event is put into words.
func (r *repeats) count(k repeatKey, who uint64, e *guard.Event, l *Log) bool {
	one, several := r.find(k)
	if one == nil || !several && one.seen < k.free() {
		return false
	}
	if one.like == nil {
		if one.like = l.nth(one.last); one.like == nil {
			return false
		}
	}
	one.seen++
	switch {
	case several:
	case one.count == 0:
		if one.who != who {
			one.who, one.account = who, l.names.Shown(e.Account)
		}
	case one.who != who:
		one.account = ""
	}
	st := &e.Verdict.Standing.Client
	one.count, one.at = one.count+max(e.Count, 1), e.At
	one.added, one.points = one.added+st.Added, st.Score
	return true
}

// take tells whether an event that was not counted is to be kept by itself, as the nth of
// the log's. If not, it is what stands for those like it.
func (r *repeats) take(k repeatKey, who uint64, e *Event, n uint64) bool {
	one, several := r.find(k)
	if one == nil {
		if len(r.now) >= repeatKeys && !several {
			return true
		}
		if several {
			k, _ = k.beyond()
		}
		if r.now == nil {
			r.now = make(map[repeatKey]*repeat, repeatKeys) // it never grows while somebody waits
		}
		one = new(repeat)
		r.now[k] = one
	}
	one.seen++
	if !several {
		one.who, one.account = who, e.Account
		if one.seen <= k.free() {
			one.last = n
			return true
		}
	}
	one.like, one.count, one.at = standFor(e, several), e.Count, e.At
	one.added, one.points = milli(e.Added), milli(e.Points)
	return false
}

// rest is an event that stands for those that were not kept one by one, or nil where
// there are none.
func (r *repeat) rest() *Event {
	if r.count == 0 {
		return nil
	}
	e := *r.like
	e.At, e.Count, e.Account = r.at.UTC().Truncate(time.Millisecond), r.count, r.account
	if e.Kind == Attempt {
		e.Added, e.Points = Points(r.added), Points(r.points)
	}
	return &e
}

// standFor is an event that stands for others like it.
func standFor(e *Event, several bool) *Event {
	all := *e
	if several {
		all.Address, all.Client, all.Network, all.Account = "", "", "", ""
		all.Service, all.Mechanism = "", ""
		all.Reason = "banned clients, more than are told apart in a minute"
	}
	return &all
}

// milli is what Points has made of it.
func milli(points float64) score.Milli { return score.Milli(math.Round(points * float64(score.Point))) }

// due tells whether a while is over.
func (r *repeats) due(now time.Time) bool {
	left := r.until.Sub(now)
	return left <= 0 || left > repeatTime
}

// turn begins a new while, and returns what has repeated in the last.
func (r *repeats) turn(now time.Time) map[repeatKey]*repeat {
	old := r.now
	r.now, r.spare, r.until = r.spare, nil, now.Add(repeatTime)
	return old
}
