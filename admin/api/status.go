package api

import "time"

// Status is the answer of GET /v1/status.
type Status struct {
	Host    string    `json:"host"` // that was asked
	Version string    `json:"version"`
	Mode    string    `json:"mode"`  // observe or enforce
	State   string    `json:"state"` // ok, degraded or failing: the worst of the parts
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`
	Store   string    `json:"store"` // memory, or redis where hosts share what they know
	Parts   []Part    `json:"parts"`
	Hosts   []Host    `json:"hosts"`          // of the cluster
	Note    string    `json:"note,omitempty"` // why hosts are missing
	Figures Figures   `json:"figures"`        // of the host that was asked, since it started
	Bans    BanCounts `json:"bans"`           // in force, of all hosts
	Recent  Recent    `json:"recent"`

	UnresolvedNames []string `json:"unresolved_names"` // of the allowlist, by the host that was asked
}

// Part is how well a part of saslguard works, as in /healthz.
type Part struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, degraded or failing
	Detail string `json:"detail,omitempty"`
}

// Host is a host of the cluster.
type Host struct {
	Name     string    `json:"name"`
	Version  string    `json:"version,omitempty"`  // absent: only its firewall agent speaks
	Mode     string    `json:"mode,omitempty"`     // observe or enforce
	Heard    time.Time `json:"heard"`              // when it said so last
	Position string    `json:"position,omitempty"` // how far it has come in the ledger
	Lag      float64   `json:"lag"`                // for how many seconds at least it has not known the latest change
	Firewall *Agent    `json:"firewall,omitempty"` // absent: it has no firewall agent
}

// Figures are what a host has counted since it started, and what it holds now.
type Figures struct {
	Attempts    map[string]int64 `json:"attempts"` // reported, by outcome
	Failed      int64            `json:"failed"`   // of them those with a wrong password or no such account
	Refused     int64            `json:"refused"`  // verdicts that were carried out
	Delayed     int64            `json:"delayed"`
	WouldRefuse int64            `json:"would_refuse"` // verdicts that were not carried out: observed only
	WouldDelay  int64            `json:"would_delay"`  // the same, or as many were delayed as may be
	Banned      int64            `json:"banned"`       // automatic bans that it has made
	Dropped     int64            `json:"dropped_reports"`
	HeldPostfix int              `json:"held_postfix"` // attempts that are being delayed now
	HeldDovecot int              `json:"held_dovecot"`
	Paused      bool             `json:"bans_paused"` // the password database seems broken
}

// BanCounts are how many entries of the ledger are in force.
type BanCounts struct {
	Operator  int `json:"operator"`
	Automatic int `json:"automatic"`
	Observed  int `json:"observed"` // automatic ones that are enforced by no host
	Accounts  int `json:"accounts"` // blocked by operators
	Allowed   int `json:"allowed"`  // networks and accounts on the allowlist, the configuration's aside
}

// Recent is what the log of events has of the last half-life.
type Recent struct {
	Clients int     `json:"failing_clients"`
	Seconds float64 `json:"seconds"`
	Shared  bool    `json:"all_hosts"` // false: only the host that was asked
}
