package replay

import (
	"net/netip"
	"time"
)

// Report is what a replay found. Its JSON is an interface: names stay, and only new
// ones are added. Times are RFC 3339 with the zone of Options.Location; one that is
// left out never was.
type Report struct {
	Read    Read     `json:"read"`
	Results []Result `json:"results"` // one for each set of rules
	// Differences are the clients that two sets of rules treat differently.
	Differences *Differences `json:"differences,omitempty"`
	// Notes are what a log cannot tell, and what the reader should know.
	Notes []string `json:"notes"`
}

// Read is what was read.
type Read struct {
	Files      []File    `json:"files"`
	Lines      int       `json:"lines"`
	Recognised int       `json:"recognised"` // lines of logins that were understood
	Failures   int       `json:"failures"`   // that the lines tell of; one line may tell of several
	Successes  int       `json:"successes"`
	Other      int       `json:"other"`   // lines that are not about logins
	Unknown    int       `json:"unknown"` // lines that look like failed logins and were not understood
	Malformed  int       `json:"malformed"`
	Cut        int       `json:"cut"`     // of those, lines that are longer than any is read
	Outside    int       `json:"outside"` // attempts before --since or from --until on
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
	Programs   []Program `json:"programs"`
	// Silent are lines of logins that tell of no attempt, by the reason why.
	Silent  []Reason `json:"silent"`
	Samples []Sample `json:"samples"` // of unknown lines
}

// File is one file that was read.
type File struct {
	Name  string `json:"name"`
	Lines int    `json:"lines"`
	Error string `json:"error,omitempty"` // where reading it ended early
}

// Program is what was read of one mail program.
type Program struct {
	Name       string `json:"name"`
	Lines      int    `json:"lines"`
	Recognised int    `json:"recognised"`
	Failures   int    `json:"failures"`
	Successes  int    `json:"successes"`
	Unknown    int    `json:"unknown"`
}

// Reason is why some lines of logins tell of no attempt.
type Reason struct {
	Why   string `json:"why"`
	Lines int    `json:"lines"`
}

// Sample is a line that looks like a failed login and was not understood. Its text
// is printable ASCII, cut to a length that fits a screen.
type Sample struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Program string `json:"program"`
	Text    string `json:"text"`
}

// Result is what one set of rules would have done.
type Result struct {
	Rules   string `json:"rules"` // the name of the set
	Terms   Terms  `json:"terms"`
	Totals  Totals `json:"totals"`
	Dropped Counts `json:"dropped"` // of which no figures were kept, the lightest

	Clients     []Client     `json:"clients"`      // the worst first
	Accounts    []Account    `json:"accounts"`     // the most attacked first
	Distributed []Attack     `json:"distributed"`  // attacks that no client's own score shows
	FalseAlarms []FalseAlarm `json:"false_alarms"` // refused or banned, and later logged in
	Said        []string     `json:"said"`         // what the guard warned of
	Events      []Event      `json:"events,omitempty"`
	EventsLeft  int          `json:"events_left,omitempty"`

	// Of how many the lists above show the first.
	Listed Counts `json:"listed"`
	// AccountsAtLeast: there were more pairs of client and account than are
	// counted, so that numbers of accounts and clients are at least.
	AccountsAtLeast bool `json:"accounts_at_least,omitempty"`

	banned []netip.Prefix
}

// Terms are the rules in short.
type Terms struct {
	HalfLife string  `json:"half_life"`
	Tarpit   float64 `json:"tarpit"`
	Refuse   float64 `json:"refuse"`
	Ban      float64 `json:"ban"`
	FirstBan string  `json:"first_ban"`
	MaxBan   string  `json:"max_ban"`
}

// Counts are numbers of subjects.
type Counts struct {
	Clients     int `json:"clients"`
	Accounts    int `json:"accounts"`
	Networks    int `json:"networks,omitempty"`
	Distributed int `json:"distributed,omitempty"`
	FalseAlarms int `json:"false_alarms,omitempty"`
}

// Client is a client that failed, or was refused.
type Client struct {
	Client      string    `json:"client"` // an address, or the prefix that is one client
	Failures    int       `json:"failures"`
	Verified    int       `json:"verified"` // failures whose password would have been looked at
	Refused     int       `json:"refused"`  // attempts that would have been refused
	Accounts    int       `json:"accounts"` // at which it failed
	Successes   int       `json:"successes"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	DelayedFrom time.Time `json:"delayed_from,omitzero"`
	RefusedFrom time.Time `json:"refused_from,omitzero"`
	RefusedBy   string    `json:"refused_by,omitempty"` // the rule that refused it first
	BannedFrom  time.Time `json:"banned_from,omitzero"`
	Bans        int       `json:"bans"`
	BannedUntil time.Time `json:"banned_until,omitzero"` // the end of its last ban

	prefix netip.Prefix
}

// Account is an account at which somebody failed.
type Account struct {
	Account   string    `json:"account"`
	Failures  int       `json:"failures"`
	Verified  int       `json:"verified"`
	Clients   int       `json:"clients"`
	Successes int       `json:"successes"` // since it was first attacked
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// Attack is an attack by many clients, of which most stay below their own scores:
// on an account, or from a network.
type Attack struct {
	Account  string    `json:"account,omitempty"`
	Network  string    `json:"network,omitempty"`
	Failures int       `json:"failures"`
	Clients  int       `json:"clients"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	From     time.Time `json:"from"`    // when its score began to matter
	Delayed  int       `json:"delayed"` // attempts delayed by its score
	Refused  int       `json:"refused"` // attempts refused by its score
}

// FalseAlarm is a client that would have been refused or banned, and logged in then
// or later. Or it is a guesser who found a password.
type FalseAlarm struct {
	Client      string    `json:"client"`
	Failures    int       `json:"failures"`
	RefusedFrom time.Time `json:"refused_from,omitzero"`
	BannedFrom  time.Time `json:"banned_from,omitzero"`
	KeptOut     int       `json:"logins_refused"` // right passwords that would have been refused
	Later       int       `json:"logins_later"`   // that would have passed again
	LoginAt     time.Time `json:"login"`          // the first of either
	LoginAs     string    `json:"account"`        // and its account
}

// Event is what happened to the client or account in focus.
type Event struct {
	At          time.Time `json:"at"`
	Until       time.Time `json:"until"` // the last of several alike
	Attempts    int       `json:"attempts"`
	Client      string    `json:"client"`
	Account     string    `json:"account"`
	Outcome     string    `json:"outcome"` // what the log says: failure, success, ignored
	Action      string    `json:"action"`  // pass, tarpit, refuse
	Delay       float64   `json:"delay,omitempty"`
	Rule        string    `json:"rule,omitempty"`
	Reason      string    `json:"reason"`
	Banned      bool      `json:"banned,omitempty"` // this attempt led to a ban
	BannedUntil time.Time `json:"banned_until,omitzero"`
}

// Differences are the clients on which two sets of rules do not agree.
type Differences struct {
	Clients []Difference `json:"clients"`
	Listed  int          `json:"listed"` // of how many
}

// Difference is a client that two sets of rules treat differently: refused or
// banned by one, and not by the other.
type Difference struct {
	Client   string `json:"client"`
	Failures int    `json:"failures"`
	First    string `json:"first"`  // what the first set would have done: nothing, delay, refuse, ban
	Second   string `json:"second"` // and the second
}
