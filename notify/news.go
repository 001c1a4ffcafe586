package notify

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/store"
)

// Kind is what news are about. The names are stable: they stand in the
// configuration and in what the webhook is told.
type Kind string

// The kinds of news.
const (
	Ban         Kind = "ban"         // a client or network was banned
	Attack      Kind = "attack"      // an account is guessed at from many clients
	Spray       Kind = "spray"       // a client tries many accounts
	Compromised Kind = "compromised" // somebody logged in who has likely guessed the password
	Store       Kind = "store"       // Redis, or the state file, is gone or back
	LogFormat   Kind = "log-format"  // log lines look like failures and are not understood
	Brake       Kind = "brake"       // automatic bans pause
	Test        Kind = "test"        // asked for by saslguard notify test
)

// Kinds are those that happen by themselves, in the order of the documentation.
func Kinds() []Kind { return []Kind{Ban, Attack, Spray, Compromised, Store, LogFormat, Brake} }

// burst is how many of a kind are told one by one before the others wait for a
// digest. A store that is back is told as soon as one that is gone; and of accounts
// that have fallen nobody wants to hear ten minutes later.
func (k Kind) burst() int {
	switch k {
	case Compromised:
		return 5
	case Store, LogFormat:
		return 4
	case Attack:
		return 2
	}
	return 1
}

// News is something that people should know. Its texts may hold what strangers
// wrote: they are cleaned where they are shown.
type News struct {
	Kind Kind
	At   time.Time

	// Key tells news apart: with the same kind and key they are told once in a
	// while. "" is never the same.
	Key string

	Title string // what happened, in a line; "": made of the fields below
	Why   string // the figures behind it
	Do    string // what to do about it: a sentence, not a command

	Addr    netip.Addr   // the client as it was last seen; invalid: none
	Client  netip.Prefix // whom it is about; zero: none
	Account string       // canonical; "": none
	Entry   *store.Entry // the ban; nil: none
}
