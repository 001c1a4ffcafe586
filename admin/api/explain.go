package api

import (
	"time"

	"github.com/saslguard/saslguard/eventlog"
)

// Event is something that happened; see package eventlog.
type Event = eventlog.Event

// ExplainQuery is what GET /v1/explain takes: an address, an account, or both.
type ExplainQuery struct {
	Address string `query:"address"`
	Account string `query:"account"`
	Limit   int    `query:"limit"` // of events, 1 to 1000; 20 if nothing is said
}

// Explanation is its answer.
type Explanation struct {
	Address string `json:"address,omitempty"`
	Client  string `json:"client,omitempty"`
	Network string `json:"network,omitempty"`
	Account string `json:"account,omitempty"`
	From    string `json:"from,omitempty"` // where the address is from, as far as is known
	Host    string `json:"host"`           // that was asked
	Mode    string `json:"mode"`

	Next     Next      `json:"next"`
	Subjects []Subject `json:"subjects"` // that have a score
	Familiar bool      `json:"familiar"` // the account has logged in from the network
	// FamiliarAccounts are how many accounts have logged in from the network.
	FamiliarAccounts int    `json:"familiar_accounts"`
	Known            string `json:"note,omitempty"` // why scores are missing

	Contributions []Contribution `json:"contributions"` // to the client's score, or the account's, by the events that are kept
	Entries       []Entry        `json:"entries"`       // bans and entries of the allowlist that cover it
	Configured    bool           `json:"configured"`    // the configuration has it on the allowlist
	Firewalls     []Holding      `json:"firewalls"`     // of hosts that have an agent

	Events History `json:"events"`
}

// Next is what the next attempt would meet, with a wrong password that was not
// tried yet.
type Next struct {
	Action string  `json:"action"` // what is done: pass, tarpit or refuse
	Would  string  `json:"would"`  // what enforce mode does
	Rule   string  `json:"rule,omitempty"`
	Reason string  `json:"reason"`          // in words
	Delay  float64 `json:"delay,omitempty"` // seconds
}

// Subject is the score of a client, a network, an account or a pair. Tiers that
// are off are absent.
type Subject struct {
	Kind     string  `json:"kind"` // client, network, account or pair
	Name     string  `json:"name"`
	Points   float64 `json:"points"`
	InFlight float64 `json:"in_flight"` // points of attempts under way
	Distinct int     `json:"distinct"`  // accounts tried, or clients that tried
	Tarpit   float64 `json:"tarpit,omitempty"`
	Refuse   float64 `json:"refuse,omitempty"`
	Ban      float64 `json:"ban,omitempty"`
}

// Contribution is what a rule has added, by the events that are kept.
type Contribution struct {
	Rule   string  `json:"rule"`   // a key of the configuration, such as points.failure
	Text   string  `json:"text"`   // in words
	Count  int     `json:"count"`  // attempts
	Earned float64 `json:"earned"` // points when they were added
	Now    float64 `json:"now"`    // what is left of them
}

// Holding is whether the firewall of a host holds a client.
type Holding struct {
	Host  string `json:"host"`
	Held  bool   `json:"held"`
	State string `json:"state"` // of its agent
}

// History is what the log of events has.
type History struct {
	Events []Event    `json:"events"`          // oldest first
	Since  *time.Time `json:"since,omitempty"` // how far back everything is known; absent: nothing is
	Shared bool       `json:"all_hosts"`
	More   bool       `json:"more"` // there were more than asked for
	Note   string     `json:"note,omitempty"`
}

// EventsQuery is what GET /v1/events and GET /v1/events/watch take.
type EventsQuery struct {
	Within  string   `query:"within"`  // clients in this prefix
	Account string   `query:"account"` // as sent in logins
	Kind    []string `query:"kind"`    // verdict, attempt, ban, unban, allow or brake
	Action  []string `query:"action"`  // pass, tarpit or refuse, done or observed
	Age     int      `query:"age"`     // at most so many seconds ago; not of watch
	Limit   int      `query:"limit"`   // 1 to 10000, 100 if nothing is said; not of watch
}
