// Package eventlog remembers what happened lately: attempts and what they led
// to, verdicts that were no pass, bans made and lifted. It is what an
// administrator reads when he asks why (explain, watch, report), and decides
// nothing.
//
// Every host keeps its own latest events in a ring, and package archive keeps that
// over restarts; where hosts share a Redis, each also writes them to a capped stream
// there, and whoever asks reads that. Nobody who logs in waits for any of it: Observe
// takes a lock for a moment, and what is new is written by goroutines that take it.
//
// On failure: while Redis is away only this host's own events are read, and it is
// said so; those that come to too many until then are not shared, and counted. A client
// that fails without end does not push everybody else out: of what it repeats only
// the first few in a minute are kept one by one, and the rest as a number.
//
// Events hold logins and addresses, which are private data: how long they are kept
// is configured, and they can be switched off.
package eventlog

import (
	"net/netip"
	"slices"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Event is something that happened. Its field names are those of the control API.
// All texts are printable and bounded.
type Event struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	Host string    `json:"host"`

	Via       string `json:"via,omitempty"` // dovecot, postfix or log
	Service   string `json:"service,omitempty"`
	Mechanism string `json:"mechanism,omitempty"`
	Address   string `json:"address,omitempty"`
	Client    string `json:"client,omitempty"`  // the client's prefix, or what is banned
	Network   string `json:"network,omitempty"` // the network's prefix
	From      string `json:"from,omitempty"`    // where the address is from, as far as whoever tells of it knows
	Account   string `json:"account,omitempty"`

	Outcome string `json:"outcome,omitempty"` // of an attempt
	Count   int    `json:"count"`             // how many of the kind it stands for, at least 1

	Action string  `json:"action,omitempty"` // of a verdict, what was done; of an attempt, what the next one like it meets
	Would  string  `json:"would,omitempty"`  // what enforce mode does, where that is something else
	Rule   string  `json:"rule,omitempty"`   // of an unban: keep-score, where the score was not forgotten
	Reason string  `json:"reason,omitempty"`
	Delay  float64 `json:"delay,omitempty"`  // seconds
	Added  float64 `json:"added,omitempty"`  // points that the attempt added to the client
	Points float64 `json:"points,omitempty"` // the client's after it

	By       string     `json:"by,omitempty"` // of bans: a host's or an operator's name
	Until    *time.Time `json:"until,omitempty"`
	Times    int        `json:"times,omitempty"` // which ban of the prefix it is
	Observed bool       `json:"observed,omitempty"`
}

// Kind says what happened.
type Kind string

// The kinds.
const (
	Verdict Kind = "verdict" // a question was answered, and not with pass
	Attempt Kind = "attempt" // an attempt's outcome was reported
	Ban     Kind = "ban"     // somebody was banned
	Unban   Kind = "unban"   // an operator lifted a ban
	Allow   Kind = "allow"   // an operator changed the allowlist
	Brake   Kind = "brake"   // automatic bans pause

	// Heartbeat is no event, but a sign of life of whoever tells of them.
	Heartbeat Kind = "heartbeat"
)

// kindOf is what kind of event one of the guard's is, and whether it is one to keep:
// what passes is told by its report, and changes of the ledger by who made them.
func kindOf(e *guard.Event) (k Kind, keep bool) {
	switch e.Kind {
	case guard.Asked:
		return Verdict, true
	case guard.Reported:
		// Of a refused one that cost nothing, its verdict has told.
		return Attempt, e.Outcome != score.Refused || e.Face == guard.Log || e.Verdict.Standing.Client.Added != 0
	case guard.Banned:
		return Ban, true
	case guard.Braked:
		return Brake, true
	default:
		return "", false
	}
}

// fromGuard is an event of the guard's that is one to keep.
func fromGuard(k Kind, e *guard.Event, names *guard.Names) Event {
	switch k {
	case Ban:
		return FromEntry(Ban, e.At, e.Host, e.Entry)
	case Brake:
		return Event{At: e.At, Kind: Brake, Host: e.Host, Count: 1, Reason: "automatic bans pause: the password database is likely broken"}
	}
	out := Event{At: e.At, Kind: k, Host: e.Host, Via: e.Face.String(), Count: max(e.Count, 1)}
	out.describe(e, names)
	v := &e.Verdict
	out.Action, out.Rule, out.Delay = v.Action.String(), string(ruleOf(e)), v.Delay.Seconds()
	if v.Would != v.Action {
		out.Would = v.Would.String()
	}
	if k == Verdict {
		out.Reason = v.Reason()
		return out
	}
	out.Outcome = guard.OutcomeName(e.Outcome)
	out.Added, out.Points = Points(v.Standing.Client.Added), Points(v.Standing.Client.Score)
	return out
}

// describe takes over who tried, as texts that are all parts of one, so that they cost
// one allocation. They are copies: those that came may be parts of a larger text.
func (out *Event) describe(e *guard.Event, names *guard.Names) {
	var room [256]byte
	all := room[:0]
	var ends [6]int
	for i, s := range [...]string{guard.Printable(e.Service), guard.Printable(e.Mechanism), shown(e.Account, names)} {
		all = append(all, s...)
		ends[i] = len(all)
	}
	if e.Addr.IsValid() {
		all = e.Addr.AppendTo(all)
		ends[3] = len(all)
		all = e.Client.AppendTo(all)
		ends[4] = len(all)
		all = e.Network.AppendTo(all)
		ends[5] = len(all)
	}
	text, from := string(all), 0
	for i, to := range [...]*string{&out.Service, &out.Mechanism, &out.Account, &out.Address, &out.Client, &out.Network} {
		if ends[i] > from {
			*to, from = text[from:ends[i]], ends[i]
		}
	}
}

// shown is an account as it may be written. It may be part of a larger text.
func shown(account string, names *guard.Names) string {
	if names.Hashing() {
		return names.Shown(account)
	}
	return guard.Printable(account)
}

// ruleOf is the rule that an event tells of: of a refused attempt that which it met.
func ruleOf(e *guard.Event) guard.Rule {
	if e.Kind == guard.Reported && e.Outcome == score.Refused && e.Met != guard.RuleNone {
		return e.Met
	}
	return e.Verdict.Rule
}

// FromEntry is a ban made or lifted.
func FromEntry(kind Kind, at time.Time, host string, e *store.Entry) Event {
	out := Event{
		At: at, Kind: kind, Host: host, Account: e.Account, Rule: e.Rule, Reason: e.Reason, By: e.By, Count: 1,
		Times: e.Times, Observed: e.Observed,
	}
	if e.Prefix.IsValid() {
		out.Client = e.Prefix.String()
	}
	if !e.Until.IsZero() {
		until := e.Until
		out.Until = &until
	}
	return out
}

// Points is an amount of points as a number with a fraction.
func Points(m score.Milli) float64 { return float64(m) / float64(score.Point) }

// Filter says which events are wanted. Its zero value wants all.
type Filter struct {
	Within  netip.Prefix // clients in it
	Account string       // canonical, or the name of a hashed login
	Kinds   []Kind
	Actions []string // pass, tarpit or refuse: done, or would be
	Since   time.Time

	names []string // of Account, as events may have it
}

// match tells whether an event is wanted.
func (f *Filter) match(e *Event) bool {
	switch {
	case !f.Since.IsZero() && e.At.Before(f.Since):
		return false
	case f.Account != "" && !slices.Contains(f.names, e.Account):
		return false
	case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind):
		return false
	case len(f.Actions) > 0 && !slices.Contains(f.Actions, e.Action) && !slices.Contains(f.Actions, e.Would):
		return false
	}
	return !f.Within.IsValid() || f.covers(e)
}

func (f *Filter) covers(e *Event) bool {
	if a, err := netip.ParseAddr(e.Address); err == nil {
		return f.Within.Contains(a)
	}
	p, err := netip.ParsePrefix(e.Client)
	return err == nil && f.Within.Overlaps(p)
}
