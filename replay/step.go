package replay

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// step is an attempt and what the guard made of it.
type step struct {
	at      int64 // Unix milliseconds
	times   int   // attempts that are alike, at least one
	failed  bool  // what the log says; neither: it is no fault of the client
	passed  bool
	allowed bool // the rules exempt the client
	client  netip.Prefix
	network netip.Prefix
	account string

	// What was answered before the password was looked at.
	action guard.Action
	delay  time.Duration
	rule   guard.Rule

	banned bool   // counting the outcome led to a ban
	until  int64  // of the ban
	reason string // of all this, where it is in focus
}

// of fills in a step.
func (st *step) of(a *guard.Attempt, t *guard.Trial, times int, focus Focus) {
	*st = step{
		at: a.At.UnixMilli(), times: times,
		failed: failed(a.Outcome), passed: a.Outcome == score.Success, allowed: t.Allowed,
		client: t.Client, network: t.Network, account: t.Account,
		action: t.Asked.Action, delay: t.Asked.Delay, rule: t.Asked.Rule,
	}
	if e := t.Counted.Entry; e != nil && e.Since.UnixMilli() == st.at {
		st.banned, st.until = true, e.Until.UnixMilli()
	}
	if focus.Set() && focus.has(st) {
		st.reason = t.Asked.Reason()
		if st.begins() {
			st.reason = t.Counted.Reason()
		}
	}
}

// begins tells whether a ban began with the attempt.
func (st *step) begins() bool { return st.banned && st.rule != guard.RuleBan }
