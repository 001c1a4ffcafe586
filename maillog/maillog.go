// Package maillog reads login attempts out of mail logs: what a line's envelope
// says (when, which host, which program), and what the program's message says
// about a login. It knows no files and no clocks: whoever has lines, of
// yesterday's log or of one that grows, hands them to a Parser.
//
// Everything in a line but its envelope may have been written by an attacker, so
// an address, an account or an outcome is taken only from where the program
// itself puts it, and a line that is not exactly understood yields nothing. A line
// that looks like a failed login and is not understood is told apart, since log
// formats drift.
package maillog

import "time"

// Line is a line of a log without its message's meaning. Message is a view of what
// was parsed, and good until the next line is; the rest stays valid.
type Line struct {
	At      time.Time // when, with the zone that the line or the options gave
	Host    string    // the host that logged it; "": the line does not say
	Program string    // such as postfix/submission/smtpd or dovecot; "": the line does not say
	PID     int       // of the program; 0: the line does not say
	Message []byte
}

// Class is what a line is about.
type Class uint8

// The classes.
const (
	Other     Class = iota // no login
	Login                  // a login that was understood, or a part of one that later lines complete
	Unknown                // looks like a failed login, and was not understood
	Malformed              // has no envelope that was understood
)

// String returns the class's name in reports and metrics.
func (c Class) String() string {
	switch c {
	case Other:
		return "other"
	case Login:
		return "login"
	case Unknown:
		return "unknown"
	default:
		return "malformed"
	}
}
