package store

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ErrInvalid is wrapped by what Put and Remove return for an entry that no
// store takes; the text says what is wrong with it.
var ErrInvalid = errors.New("not a valid entry")

// ErrClosed is returned by every method of a store that was closed.
var ErrClosed = errors.New("the store is closed")

// MaxText bounds the bytes of an entry's Reason, Rule and By.
const MaxText = 256

// CheckName tells whether the entry names one thing that can be banned or
// allowed. Its error wraps ErrInvalid.
func (e *Entry) CheckName() error {
	switch {
	case e.Kind > AutomaticBan:
		return fmt.Errorf("%w: kind %d is unknown", ErrInvalid, e.Kind)
	case e.Prefix.IsValid() == (e.Account != ""):
		return fmt.Errorf("%w: it must name a prefix or an account, and not both", ErrInvalid)
	case e.Account != "":
		return checkText("account", e.Account, MaxAccount)
	case e.Prefix != e.Prefix.Masked():
		return fmt.Errorf("%w: %s has bits set beyond its length, %s has none", ErrInvalid, e.Prefix, e.Prefix.Masked())
	case e.Prefix.Addr().Is4In6():
		return fmt.Errorf("%w: %s is an IPv4 address written as IPv6", ErrInvalid, e.Prefix)
	}
	return nil
}

// Check tells whether the entry can be stored. Its error wraps ErrInvalid.
func (e *Entry) Check() error {
	if err := e.CheckName(); err != nil {
		return err
	}
	if l := e.Ladder; l != (Ladder{}) && (l.First <= 0 || l.Max < l.First || l.Forget < 0) {
		return fmt.Errorf("%w: bans cannot last from %v to %v and be remembered for %v", ErrInvalid, l.First, l.Max, l.Forget)
	}
	if !e.Until.IsZero() && e.Until.Before(e.Since) {
		return fmt.Errorf("%w: it ends before it begins", ErrInvalid)
	}
	if err := checkText("reason", e.Reason, MaxText); err != nil {
		return err
	}
	if err := checkText("rule", e.Rule, MaxText); err != nil {
		return err
	}
	return checkText("maker", e.By, MaxText)
}

// checkText holds a text to one printable line: it is shown on terminals and
// written into firewall rules and logs.
func checkText(name, text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%w: its %s has %d bytes, and may have %d", ErrInvalid, name, len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: its %s is not UTF-8", ErrInvalid, name)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: its %s holds the unprintable %U", ErrInvalid, name, r)
		}
	}
	return nil
}
