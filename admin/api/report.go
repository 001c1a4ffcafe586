package api

import "time"

// ReportQuery is what GET /v1/report takes.
type ReportQuery struct {
	Age int `query:"age"` // of the last so many seconds; a day if nothing is said
	Top int `query:"top"` // how many of each list, 1 to 1000; 10 if nothing is said
}

// Report is what happened in a while.
type Report struct {
	Host   string     `json:"host"` // that was asked
	Mode   string     `json:"mode"`
	From   time.Time  `json:"from"` // as asked
	To     time.Time  `json:"to"`
	Since  *time.Time `json:"since,omitempty"` // how far back events are kept, if that is later
	Shared bool       `json:"all_hosts"`
	Note   string     `json:"note,omitempty"`

	Total       Tally          `json:"total"`
	Days        []Day          `json:"days"`
	Clients     []ClientTally  `json:"clients"`     // those with the most failures
	Accounts    []AccountTally `json:"accounts"`    // those with the most failures
	Spray       []ClientTally  `json:"spray"`       // clients that tried five accounts or more
	Distributed []AccountTally `json:"distributed"` // accounts that were tried by five clients or more
	Bans        []Event        `json:"bans"`        // made or lifted, the latest
}

// Tally counts what happened.
type Tally struct {
	Succeeded   int `json:"succeeded"`
	Failed      int `json:"failed"`  // a wrong password, or no such account
	Refused     int `json:"refused"` // verdicts that were carried out
	Delayed     int `json:"delayed"`
	WouldRefuse int `json:"would_refuse"` // verdicts that were only observed
	WouldDelay  int `json:"would_delay"`
	Banned      int `json:"banned"`
}

// Day is a day's tally.
type Day struct {
	Date string `json:"date"` // in UTC, such as 2026-11-26
	Tally
}

// ClientTally is what a client did.
type ClientTally struct {
	Client   string    `json:"client"`
	Failed   int       `json:"failed"`
	Refused  int       `json:"refused"`  // done or observed
	Accounts int       `json:"accounts"` // that it tried
	Last     time.Time `json:"last"`
	From     string    `json:"from,omitempty"` // where it is from, as far as is known
}

// AccountTally is what was done to an account.
type AccountTally struct {
	Account string    `json:"account"`
	Failed  int       `json:"failed"`
	Refused int       `json:"refused"` // done or observed
	Clients int       `json:"clients"` // that tried it
	Last    time.Time `json:"last"`
}
