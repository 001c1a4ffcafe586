package api

import "time"

// Audited is a change that somebody made, or was refused.
type Audited struct {
	At      time.Time `json:"at"`
	Host    string    `json:"host"` // on which he asked
	Who     string    `json:"who"`  // a user of that host, or the name of a token
	Via     string    `json:"via"`  // unix or tcp
	From    string    `json:"from,omitempty"`
	Action  string    `json:"action"`  // ban, unban, allow, disallow or forget
	Targets []string  `json:"targets"` // the first hundred
	Count   int       `json:"count"`   // how many there were
	Reason  string    `json:"reason,omitempty"`
	Result  string    `json:"result"` // done, or what went wrong
}
