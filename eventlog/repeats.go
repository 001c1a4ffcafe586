package eventlog

import (
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// repeats keeps one client from filling the log: of what it does over and over
// the first few in a while are kept one by one, and of the rest how many there
// were.
type repeats struct {
	now   map[repeatKey]*repeat
	until time.Time // when the present while is over
}

const (
	repeatTime = time.Minute
	// repeatFree is how many of one kind by one client are kept one by one: more
	// than a guesser gets to see before he is refused, so that all the accounts he
	// tried are there.
	repeatFree = 20
	repeatKeys = 20_000 // what is told apart in a while; of the rest, see beyond
)

// repeatKey is what makes events each other's repeats.
type repeatKey struct {
	kind    Kind
	client  netip.Prefix
	action  guard.Action
	outcome score.Outcome
	rule    guard.Rule
	account string // of successes: each account counts by itself
}

type repeat struct {
	seen int
	rest *Event // stands for those that were not kept one by one
}

// keyOf is the key of an event of a kind, and whether it is one that repeats.
func keyOf(kind Kind, e *guard.Event) (k repeatKey, repeats bool) {
	if kind != Verdict && kind != Attempt {
		return k, false
	}
	k = repeatKey{kind: kind, client: e.Client, action: e.Verdict.Action, outcome: e.Outcome, rule: ruleOf(e)}
	if e.Outcome == score.Success {
		k.account = e.Account
	}
	return k, true
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
	case guard.RuleBan, guard.RuleOperatorBan, guard.RuleAccountBlock:
		return k.kind == Verdict
	}
	return false
}

// beyond is the key of one that is not told apart any more, and whether there is one:
// of a net of bots that goes on although it is banned, it is enough how much there was.
func (k *repeatKey) beyond() (repeatKey, bool) {
	return repeatKey{kind: k.kind, action: k.action, rule: k.rule}, k.banned()
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

// count adds an event to what stands for others like it, and tells whether there is
// such. So that who does the same over and over costs no more than that, nothing of
// the event is put into words.
func (r *repeats) count(k repeatKey, e *guard.Event, names *guard.Names) bool {
	one, _ := r.find(k)
	if one == nil || one.rest == nil {
		return false
	}
	one.seen++
	rest, st := one.rest, &e.Verdict.Standing.Client
	rest.At, rest.Count = e.At, rest.Count+max(e.Count, 1)
	if k.kind == Attempt {
		rest.Added, rest.Points = rest.Added+Points(st.Added), Points(st.Score)
	}
	if rest.Account != "" && rest.Account != shown(e.Account, names) {
		rest.Account = "" // several
	}
	return true
}

// take tells whether an event is to be kept by itself. Of one that is not it keeps
// what stands for it.
func (r *repeats) take(k repeatKey, e *Event) bool {
	one, several := r.find(k)
	if one == nil {
		if len(r.now) >= repeatKeys && !several {
			return true
		}
		if several {
			k, _ = k.beyond()
		}
		if r.now == nil {
			r.now = make(map[repeatKey]*repeat)
		}
		one = new(repeat)
		k.account = strings.Clone(k.account) // it may be part of a larger text
		r.now[k] = one
	}
	one.seen++
	switch {
	case one.seen <= k.free() && !several:
		return true
	case one.rest == nil:
		one.rest = standFor(e, several)
	default:
		// Another one was first, after this one was looked for.
		rest := one.rest
		rest.At, rest.Count, rest.Added, rest.Points = e.At, rest.Count+e.Count, rest.Added+e.Added, e.Points
		if rest.Account != e.Account {
			rest.Account = ""
		}
	}
	return false
}

// standFor is an event that stands for others like it.
func standFor(e *Event, several bool) *Event {
	rest := *e
	if several {
		rest.Address, rest.Client, rest.Network, rest.Account = "", "", "", ""
		rest.Service, rest.Mechanism = "", ""
		rest.Reason = "banned clients, more than are told apart in a minute"
	}
	return &rest
}

// due tells whether a while is over.
func (r *repeats) due(now time.Time) bool {
	left := r.until.Sub(now)
	return left <= 0 || left > repeatTime
}

// turn begins a new while, and returns what has repeated in the last.
func (r *repeats) turn(now time.Time) map[repeatKey]*repeat {
	old := r.now
	r.now, r.until = nil, now.Add(repeatTime)
	return old
}
