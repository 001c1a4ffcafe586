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
// said so; those that its queue cannot hold are not shared, and counted. A client
// that fails without end does not push everybody else out: of what it repeats only
// the first few in a minute are kept one by one, and the rest as a number.
//
// Events hold logins and addresses, which are private data: how long they are kept
// is configured, and they can be switched off.
package eventlog

import (
	"net/netip"
	"slices"
	"strings"
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

// fromGuard is an event of the guard's, and whether it is one to keep: what
// passes is told by its report, and changes of the ledger by who made them.
func fromGuard(e *guard.Event, names *guard.Names) (out Event, keep bool) {
	switch e.Kind {
	case guard.Asked:
		if e.Verdict.Would == guard.Pass {
			return Event{}, false
		}
		out.Kind = Verdict
	case guard.Reported:
		out.Kind = Attempt
	case guard.Banned:
		return FromEntry(Ban, e.At, e.Host, e.Entry), true
	case guard.Braked:
		return Event{At: e.At, Kind: Brake, Host: e.Host, Count: 1, Reason: "automatic bans pause: the password database is likely broken"}, true
	default:
		return Event{}, false
	}
	out.At, out.Host, out.Via, out.Count = e.At, e.Host, e.Face.String(), max(e.Count, 1)
	out.Service, out.Mechanism = text(e.Service), text(e.Mechanism)
	out.Account = names.Shown(e.Account)
	if e.Addr.IsValid() {
		out.Address, out.Client, out.Network = e.Addr.String(), e.Client.String(), e.Network.String()
	}
	v := &e.Verdict
	out.Action, out.Rule, out.Delay = v.Action.String(), string(v.Rule), v.Delay.Seconds()
	if v.Would != v.Action {
		out.Would = v.Would.String()
	}
	if out.Kind == Verdict {
		out.Reason = v.Reason()
		return out, true
	}
	if e.Outcome == score.Refused && e.Face != guard.Log && v.Standing.Client.Added == 0 {
		return Event{}, false // its verdict has told of it
	}
	out.Outcome = guard.OutcomeName(e.Outcome)
	out.Added, out.Points = Points(v.Standing.Client.Added), Points(v.Standing.Client.Score)
	if e.Outcome == score.Refused && e.Met != guard.RuleNone {
		out.Rule = string(e.Met)
	}
	return out, true
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

// text is a hostile text as it is kept: printable, bounded, and a copy, because
// the one that came may be part of a larger one.
func text(s string) string { return strings.Clone(guard.Printable(s)) }

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
