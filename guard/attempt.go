package guard

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
)

// Attempt is a login attempt, asked about or reported, or a connection of a
// client that has not tried to log in yet. Its strings are what the network
// said: unchecked, and used only after they were bounded and canonicalised.
type Attempt struct {
	At          time.Time     // zero: now
	Face        Face          // who asks or tells
	Service     string        // imap, pop3, smtp, submission …; "" is unknown
	Scope       Scope         // which verdicts the asker wants
	Client      netip.Addr    // invalid: unknown, and not guarded
	Login       string        // as sent; "": no login tried, or unknown
	Hash        string        // hash of the password, as the face has it; "": none
	Mechanism   string        // SASL mechanism; "": unknown
	NoSecret    bool          // Hash is known to stand for no password at all
	HashChecked bool          // whether Hash stands for no password was looked at
	Session     string        // tells sessions apart; "": it cannot
	Stale       bool          // the asker no longer waits for the answer
	Delayed     bool          // it was delayed when it was asked about before; once is enough
	Outcome     score.Outcome // Unknown: a question
	Count       int           // attempts that a report stands for; below 1 is 1
	ID          uint64        // names the attempt: one that comes twice under it counts once; 0: it comes once

	reported reported
}

// Face is where an attempt came from.
type Face uint8

// The faces.
const (
	Dovecot Face = iota
	Postfix
	Log
)

// String returns the face's name in logs and metrics.
func (f Face) String() string {
	switch f {
	case Dovecot:
		return "dovecot"
	case Postfix:
		return "postfix"
	default:
		return "log"
	}
}

// Scope is which verdicts an asker wants.
type Scope uint8

// The scopes.
const (
	AllVerdicts      Scope = iota
	OperatorVerdicts       // automatic ones are ignored, as on an MX, where mail would bounce
)
