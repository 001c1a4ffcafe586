package api

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/store"
)

// Kind is what an entry of the ledger does.
type Kind string

// The kinds, in the order of their precedence.
const (
	OperatorBan  Kind = "operator-ban"  // refuses, whatever the allowlist says
	Allow        Kind = "allow"         // exempts
	AutomaticBan Kind = "automatic-ban" // refuses what the allowlist does not exempt
)

// kinds are the kinds by their numbers in the store.
var kinds = [...]Kind{store.OperatorBan: OperatorBan, store.Allow: Allow, store.AutomaticBan: AutomaticBan}

// Entry is a ban or an entry of the allowlist. Exactly one of Prefix, Account and
// Name is set.
type Entry struct {
	Kind     Kind       `json:"kind"`
	Prefix   string     `json:"prefix,omitempty"`  // such as 192.0.2.1/32
	Account  string     `json:"account,omitempty"` // canonical
	Name     string     `json:"name,omitempty"`    // a host name of the allowlist, resolved again and again
	Since    time.Time  `json:"since"`
	Until    *time.Time `json:"until,omitempty"` // absent: permanent
	Reason   string     `json:"reason,omitempty"`
	Rule     string     `json:"rule,omitempty"` // the rule that made an automatic ban; of an allowed address, the name it belongs to
	By       string     `json:"by"`             // a host's or an operator's name
	Observed bool       `json:"observed"`       // only observed: enforced by no host
	Times    int        `json:"times"`          // how often this prefix has been banned, this time included
	From     string     `json:"from,omitempty"` // of a list: where it is from, as far as is known

	// Unresolved, of a list, is why the host that was asked cannot resolve Name.
	Unresolved string `json:"unresolved,omitempty"`
}

// namePrefix begins the account of an entry that stands for a host name. No
// login can be that account: those are lower case.
const namePrefix = "NAME "

// NameAccount is the account under which the ledger keeps a host name of the
// allowlist.
func NameAccount(name string) string { return namePrefix + name }

// AccountName returns the host name that an account of the ledger stands for.
func AccountName(account string) (name string, ok bool) {
	return strings.CutPrefix(account, namePrefix)
}

// FromEntry is an entry of a store.
func FromEntry(e *store.Entry) Entry {
	out := Entry{
		Kind: KindOf(e.Kind), Account: e.Account, Since: e.Since.UTC(), Reason: e.Reason, Rule: e.Rule, By: e.By, Observed: e.Observed, Times: e.Times,
	}
	if e.Prefix.IsValid() {
		out.Prefix = e.Prefix.String()
	}
	if name, ok := AccountName(e.Account); ok {
		out.Account, out.Name = "", name
	}
	if !e.Until.IsZero() {
		until := e.Until.UTC()
		out.Until = &until
	}
	return out
}

// Store returns the entry as a store has it. Its error says what cannot be.
func (e *Entry) Store() (store.Entry, error) {
	kind, err := e.Kind.store()
	if err != nil {
		return store.Entry{}, err
	}
	out := store.Entry{
		Kind: kind, Account: e.Account, Since: e.Since, Reason: e.Reason, Rule: e.Rule, By: e.By, Observed: e.Observed, Times: e.Times,
	}
	if e.Name != "" {
		out.Account = NameAccount(e.Name)
	}
	if e.Prefix != "" {
		if out.Prefix, err = netip.ParsePrefix(e.Prefix); err != nil {
			return store.Entry{}, err
		}
	}
	if e.Until != nil {
		out.Until = *e.Until
	}
	return out, out.CheckName()
}

// KindOf is a store's kind.
func KindOf(k store.EntryKind) Kind {
	if int(k) >= len(kinds) {
		return ""
	}
	return kinds[k]
}

func (k Kind) store() (store.EntryKind, error) {
	for i, name := range kinds {
		if name == k {
			return store.EntryKind(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no kind of entry", k)
}
