package eventlog

import "time"

// repeats keeps one client from filling the log: of what it does over and over
// the first few in a while are kept one by one, and of the rest how many there
// were.
type repeats struct {
	now   map[repeatKey]*repeat
	since time.Time // when the present while began
}

const (
	repeatTime = time.Minute
	// repeatFree is how many of one kind by one client are kept one by one: more
	// than a guesser gets to see before he is refused, so that all the accounts he
	// tried are there.
	repeatFree = 20
	repeatKeys = 20_000 // clients that are told apart in a while; others are all kept
)

type repeatKey struct {
	kind                          Kind
	client, action, outcome, rule string
	account                       string // of successes: each account counts by itself
}

type repeat struct {
	seen int
	rest *Event // stands for those that were not kept one by one
}

// take tells whether an event is to be kept by itself.
func (r *repeats) take(e *Event) bool {
	if e.Kind != Verdict && e.Kind != Attempt {
		return true
	}
	k := repeatKey{kind: e.Kind, client: e.Client, action: e.Action, outcome: e.Outcome, rule: e.Rule}
	free := repeatFree
	if e.Outcome == "success" {
		k.account, free = e.Account, 1 // a mail program logs in many times a minute
	}
	one := r.now[k]
	if one == nil {
		if len(r.now) >= repeatKeys {
			return true
		}
		if r.now == nil {
			r.now = make(map[repeatKey]*repeat)
		}
		one = new(repeat)
		r.now[k] = one
	}
	one.seen++
	if one.seen <= free {
		return true
	}
	if one.rest == nil {
		rest := *e
		one.rest = &rest
		return false
	}
	rest := one.rest
	rest.At, rest.Count, rest.Added, rest.Points = e.At, rest.Count+e.Count, rest.Added+e.Added, e.Points
	if rest.Account != e.Account {
		rest.Account = "" // several
	}
	return false
}

// due tells whether a while is over.
func (r *repeats) due(now time.Time) bool {
	age := now.Sub(r.since)
	return age < 0 || age >= repeatTime
}

// turn begins a new while, and returns what stands for the rest of the last.
func (r *repeats) turn(now time.Time) []Event {
	var rests []Event
	for _, one := range r.now {
		if one.rest != nil {
			rests = append(rests, *one.rest)
		}
	}
	r.now, r.since = nil, now
	return rests
}
