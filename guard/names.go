package guard

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Names is how accounts are written where they are read and kept: in log lines,
// events and notifications. They are written as they are, or, for the sake of
// privacy, as a keyed hash: the same login is then the same name on all hosts that
// have the same key, and who knows a login can ask about it, but nobody reads it.
// A nil Names writes them as they are. Its methods may be called by many
// goroutines at once.
type Names struct {
	hash   hasher
	hashed atomic.Bool
}

// hashedSuffix ends the names of hashed logins. With its @ such a name stays what it
// is when it is made canonical, so that it can be asked about like a login.
const hashedSuffix = "@hashed"

// NewNames returns names under the store's key, in clear until Hash.
func NewNames(key [16]byte) *Names { return &Names{hash: newHasher(key)} }

// Hash says whether names are hashed from now on.
func (n *Names) Hash(on bool) { n.hashed.Store(on) }

// Hashing tells whether they are.
func (n *Names) Hashing() bool { return n != nil && n.hashed.Load() }

// Shown returns an account as it may be written: printable and bounded, or its
// hash. "" stays "".
func (n *Names) Shown(account string) string {
	if account == "" || !n.Hashing() {
		return strings.Clone(Printable(account))
	}
	return n.hashOf(account)
}

// All returns every name under which an account may have been written, whatever
// was configured then.
func (n *Names) All(account string) []string {
	names := []string{strings.Clone(Printable(account))}
	if n != nil {
		names = append(names, n.hashOf(account))
	}
	return names
}

// Foreign returns a text in which there may be a login, such as a line of a log,
// or what is said instead.
func (n *Names) Foreign(text string) string {
	if n.Hashing() {
		return "(not shown, because logins are hashed)"
	}
	return text
}

func (n *Names) hashOf(account string) string {
	return fmt.Sprintf("%016x%s", n.hash.text('n', account), hashedSuffix)
}

// IsHashed tells whether an account looks like the name of a hashed login, under
// which nothing but events is known.
func IsHashed(account string) bool {
	sum, ok := strings.CutSuffix(account, hashedSuffix)
	return ok && len(sum) == 16 && strings.Trim(sum, "0123456789abcdef") == ""
}
