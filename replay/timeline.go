package replay

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// Focus restricts a report to a client or an account.
type Focus struct {
	Client  netip.Prefix // zero: every client
	Account string       // canonical; "": every account
}

// Set tells whether there is a restriction.
func (f Focus) Set() bool { return f.Client.IsValid() || f.Account != "" }

// timeline is what happened to a client or an account, in the order of the log.
type timeline struct {
	focus  Focus
	events []event
	more   int // attempts behind the last one that is kept
}

// event is one attempt, or several that are alike and follow each other.
type event struct {
	at, until int64
	client    netip.Prefix
	account   string
	failed    bool
	passed    bool
	action    guard.Action
	delay     time.Duration
	rule      guard.Rule
	reason    string
	banned    bool
	ended     int64 // of the ban that began
	count     int
}

// maxEvents bounds a timeline.
const maxEvents = 200

// has tells whether an attempt is in focus.
func (f *Focus) has(st *step) bool {
	return (!f.Client.IsValid() || f.Client.Overlaps(st.client)) && (f.Account == "" || f.Account == st.account)
}

func (t *timeline) note(st *step) {
	if !t.focus.has(st) {
		return
	}
	e := event{
		at: st.at, until: st.at, client: st.client, account: st.account, failed: st.failed, passed: st.passed,
		action: st.action, delay: st.delay, rule: st.rule, reason: st.reason, count: st.times,
	}
	if st.begins() {
		e.banned, e.ended = true, st.until
	}
	if last := len(t.events) - 1; last >= 0 && t.events[last].like(&e) {
		t.events[last].count += e.count
		t.events[last].until = e.until
		return
	}
	if len(t.events) >= maxEvents {
		t.more += e.count
		return
	}
	t.events = append(t.events, e)
}

// like tells whether an attempt is no news after another.
func (e *event) like(next *event) bool {
	return !next.banned && !e.banned && e.client == next.client && e.account == next.account && e.failed == next.failed &&
		e.passed == next.passed && e.action == next.action && e.rule == next.rule && e.delay == next.delay
}
