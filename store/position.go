package store

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a ledger's sequence of changes, shaped like the ids of
// a Redis stream: Unix milliseconds by the ledger's clock, and a number among
// the changes of one millisecond. The zero Position is before every change.
// Positions of different ledgers cannot be compared.
type Position struct {
	Millis, Number uint64
}

// errPosition is wrapped by what ParsePosition returns.
var errPosition = errors.New("not a position in a ledger")

// Compare returns -1 if p is before q, 1 if it is after it, and 0 otherwise.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Millis, q.Millis), cmp.Compare(p.Number, q.Number))
}

// IsZero tells whether the position is before every change.
func (p Position) IsZero() bool { return p == Position{} }

// Next returns the position of a change that follows p at a time in Unix
// milliseconds. Like a stream's ids, it grows also where the clock goes back.
func (p Position) Next(millis int64) Position {
	if millis > 0 && uint64(millis) > p.Millis {
		return Position{Millis: uint64(millis)}
	}
	return Position{p.Millis, p.Number + 1}
}

// String writes the position as Redis writes an id: 1767225600000-0.
func (p Position) String() string {
	return strconv.FormatUint(p.Millis, 10) + "-" + strconv.FormatUint(p.Number, 10)
}

// ParsePosition reverses String.
func ParsePosition(s string) (p Position, err error) {
	ms, number, _ := strings.Cut(s, "-")
	if p.Millis, err = strconv.ParseUint(ms, 10, 64); err == nil {
		p.Number, err = strconv.ParseUint(number, 10, 64)
	}
	if err != nil || p.String() != s {
		return Position{}, fmt.Errorf("%w: %.40q", errPosition, s)
	}
	return p, nil
}

// MarshalText implements encoding.TextMarshaler.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}
