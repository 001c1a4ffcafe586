package api

// BansQuery is what GET /v1/bans and GET /v1/allow take. Everything that is said
// must be true of an entry.
type BansQuery struct {
	Within     string `query:"within"`     // prefixes inside of this one, it included
	Containing string `query:"containing"` // prefixes that cover this address or prefix
	Account    string `query:"account"`    // as sent in logins
	Kind       string `query:"kind"`       // operator-ban or automatic-ban
	Rule       string `query:"rule"`
	By         string `query:"by"`
	Age        int    `query:"age"`   // made at most so many seconds ago
	Sort       string `query:"sort"`  // since (latest first), until, prefix or times
	Limit      int    `query:"limit"` // 1 to 1000000; 1000 if nothing is said
}

// Entries is the answer of GET /v1/bans and GET /v1/allow.
type Entries struct {
	Entries []Entry `json:"entries"`
	Total   int     `json:"total"` // that there are, beyond limit
	Mode    string  `json:"mode"`  // of the host that was asked: observe refuses nobody
}

// NewEntry is a ban or an entry of the allowlist to be made. It has one of
// prefix, account and name, and one of seconds, until and permanent.
type NewEntry struct {
	Prefix    string `json:"prefix,omitempty"`  // an address is the prefix of itself alone
	Account   string `json:"account,omitempty"` // as sent in logins
	Name      string `json:"name,omitempty"`    // a host name, for the allowlist only
	Seconds   int64  `json:"seconds,omitempty"` // from now on
	Until     string `json:"until,omitempty"`   // RFC 3339
	Permanent bool   `json:"permanent,omitempty"`
	Reason    string `json:"reason,omitempty"` // one printable line of at most 256 octets
}

// MaxEntries bounds the entries of one request.
const MaxEntries = 50_000

// PutRequest is the body of POST /v1/bans and POST /v1/allow. Where one entry is
// wrong nothing is done.
type PutRequest struct {
	Entries []NewEntry `json:"entries"`
	// Force makes bans that would lock out this host, its administrator or half
	// the world.
	Force bool `json:"force,omitempty"`
	// Protect are addresses that bans shall not cover without force, such as the
	// one from which the administrator is logged in.
	Protect []string `json:"protect,omitempty"`
	// Wait is for how many seconds at most is waited for all hosts, 0 to 60.
	Wait float64 `json:"wait,omitempty"`
}

// Target is what is unbanned, or taken off the allowlist: exactly it.
type Target struct {
	Prefix  string `json:"prefix,omitempty"`
	Account string `json:"account,omitempty"`
	Name    string `json:"name,omitempty"` // of the allowlist only
}

// RemoveRequest is the body of POST /v1/bans/remove and POST /v1/allow/remove.
type RemoveRequest struct {
	Targets   []Target `json:"targets,omitempty"`
	All       bool     `json:"all,omitempty"`        // every ban there is; not of the allowlist
	KeepScore bool     `json:"keep_score,omitempty"` // of clients and accounts that are unbanned
	Reason    string   `json:"reason,omitempty"`     // for the audit log
	Wait      float64  `json:"wait,omitempty"`       // as in PutRequest
}

// Changes is what was done.
type Changes struct {
	Changes  []Change `json:"changes"`
	Warnings []string `json:"warnings"`           // what whoever asked would want to know
	Mode     string   `json:"mode"`               // of the host that was asked
	Position string   `json:"position,omitempty"` // of the ledger, where all of it is in force
	Hosts    []Ack    `json:"hosts"`              // which know of it
}

// Change is what became of one entry or target.
type Change struct {
	Target string `json:"target"` // the prefix, account or name
	Done   bool   `json:"done"`
	Entry  *Entry `json:"entry,omitempty"` // that is, or was, in force
	Note   string `json:"note,omitempty"`  // why not, or what else is so
}

// Ack is whether a host knows of a change.
type Ack struct {
	Host     string `json:"host"`
	Mode     string `json:"mode,omitempty"`
	Known    bool   `json:"known"`              // its verdicts follow it
	Firewall string `json:"firewall,omitempty"` // enforced, pending, or the state of an agent that is not running; absent: none
}

// ForgetRequest is the body of POST /v1/accounts/forget.
type ForgetRequest struct {
	Account string `json:"account"` // as sent in logins
	Reason  string `json:"reason,omitempty"`
}

// Forgotten is its answer.
type Forgotten struct {
	Account string `json:"account"` // canonical
	Pairs   int    `json:"pairs"`   // familiar networks that it had
	Note    string `json:"note,omitempty"`
}

// AuditQuery is what GET /v1/audit takes.
type AuditQuery struct {
	Limit int `query:"limit"` // 1 to 1000; 100 if nothing is said
}

// Audit is its answer.
type Audit struct {
	Changes []Audited `json:"changes"`        // the latest, oldest first
	Note    string    `json:"note,omitempty"` // why some are missing
}
