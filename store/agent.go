package store

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// AgentState is what a host's firewall agent says of itself: which backend it
// keeps true to the ledger, and how far it has come.
type AgentState struct {
	Backend  string    `json:"backend"`         // nftables, exec, dryrun
	State    string    `json:"state"`           // a word: running, paused, failing
	Position Position  `json:"position"`        // all that the ledger held there is enforced
	Bans     int       `json:"bans"`            // how many are enforced
	Error    string    `json:"error,omitempty"` // the last that went wrong, one line
	At       time.Time `json:"at,omitzero"`     // when it was said, by the ledger's clock; set by who keeps it
}

// Checked returns the state with its texts held to MaxText bytes of one
// printable line each, since they are shown on terminals: what is unprintable
// becomes a question mark, and what is too long is cut.
func (a AgentState) Checked() AgentState {
	a.Backend, a.State, a.Error = Printable(a.Backend), Printable(a.State), Printable(a.Error)
	a.Bans = max(a.Bans, 0)
	return a
}

// Printable returns a text of unknown origin as one printable line of at most
// MaxText bytes.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*MaxText)])
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
