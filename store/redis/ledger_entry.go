package redis

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/saslguard/saslguard/store"
)

// An entry in Redis is text, which an operator can read with redis-cli and a
// script can take apart: its name is the kind, p or a, and the prefix or
// account; the value is described in ledger.lua.
const (
	entryVersion = "1"
	separator    = "\x1f" // in no entry: store.Entry.Check allows printable text only
	enforced     = "e"
	observed     = "o"
)

// errEntry is wrapped by what is said of a record that no entry can be made of:
// somebody else wrote it, or a version to come.
var errEntry = errors.New("not an entry of the ledger")

// maxTimes bounds how often something was banned, as a record may say.
const maxTimes = 1 << 31

// entryName is the name of what an entry is of.
func entryName(e *store.Entry) string {
	if e.Account != "" {
		return strconv.Itoa(int(e.Kind)) + "a" + e.Account
	}
	return strconv.Itoa(int(e.Kind)) + "p" + e.Prefix.String()
}

// decodeName reverses entryName, into the entry's Kind, Prefix and Account.
func decodeName(name string) (e store.Entry, err error) {
	if len(name) < 3 || name[0] < '0' || name[0] > '9' {
		return store.Entry{}, fmt.Errorf("%w: a name of %d octets", errEntry, len(name))
	}
	e.Kind = store.EntryKind(name[0] - '0')
	switch name[1] {
	case 'a':
		e.Account = name[2:]
	case 'p':
		if e.Prefix, err = netip.ParsePrefix(name[2:]); err != nil {
			return store.Entry{}, fmt.Errorf("%w: %w", errEntry, err)
		}
	}
	if err := e.CheckName(); err != nil {
		return store.Entry{}, fmt.Errorf("%w: %w", errEntry, err)
	}
	if entryName(&e) != name {
		return store.Entry{}, fmt.Errorf("%w: the name %q is not how it would be written", errEntry, name)
	}
	return e, nil
}

// texts are the part of an entry's value that the script does not look into.
func texts(e *store.Entry) string {
	return e.Reason + separator + e.Rule + separator + e.By
}

func state(e *store.Entry) string {
	if e.Observed {
		return observed
	}
	return enforced
}

// encodeEntry is what ledger.lua writes for an entry.
func encodeEntry(e *store.Entry) string {
	until := int64(0)
	if !e.Until.IsZero() {
		until = e.Until.UnixMilli()
	}
	return fmt.Sprintf("%s %d %d %d %s", entryVersion, e.Since.UnixMilli(), until, e.Times, state(e)) +
		separator + texts(e)
}

// decodeEntry reads an entry from its name and value. What it accepts, it would
// write in the same way.
func decodeEntry(name, value string) (store.Entry, error) {
	e, err := decodeName(name)
	if err != nil {
		return store.Entry{}, err
	}
	parts := strings.Split(value, separator)
	numbers := strings.Split(parts[0], " ")
	if numbers[0] != entryVersion {
		return store.Entry{}, fmt.Errorf("%w: version %q is unknown", errEntry, cut(numbers[0]))
	}
	if len(parts) != 4 || len(numbers) != 5 {
		return store.Entry{}, fmt.Errorf("%w: %d numbers and %d texts", errEntry, len(numbers), len(parts)-1)
	}
	since, errSince := strconv.ParseInt(numbers[1], 10, 64)
	until, errUntil := strconv.ParseInt(numbers[2], 10, 64)
	times, errTimes := strconv.ParseInt(numbers[3], 10, 64)
	if err := errors.Join(errSince, errUntil, errTimes); err != nil {
		return store.Entry{}, fmt.Errorf("%w: %w", errEntry, err)
	}
	if times < 0 || times > maxTimes || until < 0 || !isTime(since) || !isTime(until) {
		return store.Entry{}, fmt.Errorf("%w: %q is out of range", errEntry, cut(parts[0]))
	}
	e.Since, e.Times, e.Observed = millis(since), int(times), numbers[4] == observed
	if until != 0 {
		e.Until = millis(until)
	}
	e.Reason, e.Rule, e.By = parts[1], parts[2], parts[3]
	if err := e.Check(); err != nil {
		return store.Entry{}, fmt.Errorf("%w: %w", errEntry, err)
	}
	if encodeEntry(&e) != value {
		return store.Entry{}, fmt.Errorf("%w: %q is not how it would be written", errEntry, cut(parts[0]))
	}
	return e, nil
}

// isTime holds times to the years that can be written in four digits: all of
// them are exact in the numbers of a script.
func isTime(ms int64) bool {
	return ms >= -62_135_596_800_000 && ms <= 253_402_300_799_999
}

// millis is the time of Unix milliseconds, in UTC.
func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// cut bounds what is quoted of a record in a log.
func cut(s string) string { return s[:min(len(s), 80)] }
