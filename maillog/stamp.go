package maillog

import (
	"encoding/binary"
	"strings"
	"time"
)

// stamps reads the times of lines. Lines come in bursts, so what costs, the
// calendar and the zone's rules, is kept from one line to the next for a minute.
type stamps struct {
	zone   *time.Location
	latest time.Time
	now    func() time.Time

	minute  [16]byte // the text up to the minute of the last stamp without a zone
	length  int
	base    int64 // when that minute began, in Unix seconds
	fixed   *time.Location
	east    int // of fixed, in seconds
	day     [10]byte
	dayBase int64 // when day began in UTC

	zoned      [17]byte  // the text up to the seconds of the last stamp with a zone
	zonedWords [2]uint64 // its first 16 bytes
	zonedBase  int64     // when that minute began, in Unix seconds
	offset     string    // the text of its zone
}

// slack is how far a line may be ahead of the latest moment: clocks and zones of
// hosts that log to one place differ.
const slack = 24 * time.Hour

// rfc3164 reads "Jan  2 15:04:05", with a fraction or not.
func (t *stamps) rfc3164(s string) (at time.Time, rest string, ok bool) {
	if len(s) < 15 || s[3] != ' ' {
		return at, s, false
	}
	end := 12 // of the minute
	if s[5] == ' ' && isDigit(s[4]) {
		end = 11 // a day that is not padded
	}
	if s[end-3] != ':' || s[end] != ':' || s[end-6] != ' ' {
		return at, s, false
	}
	sec, ok := two(s, end+1)
	if !ok || sec > 60 {
		return at, s, false
	}
	if t.length != end || s[:end] != string(t.minute[:end]) {
		if !t.inferred(s[:end]) {
			return at, s, false
		}
		t.length = copy(t.minute[:], s[:end])
	}
	nanos, rest := fraction(s[end+3:])
	return time.Unix(t.base+int64(sec), nanos).In(t.zone), rest, true
}

// inferred finds the minute's year: the last in which it was not in the future.
// A log that passes New Year needs nothing more, nor does February 29.
func (t *stamps) inferred(s string) bool {
	month := monthOf(s[:3])
	day, _, ok := number(strings.TrimLeft(s[4:len(s)-6], " "))
	hour, ok1 := two(s, len(s)-5)
	minute, ok2 := two(s, len(s)-2)
	if month == 0 || !ok || !ok1 || !ok2 || hour > 23 || minute > 59 || day < 1 {
		return false
	}
	latest := t.latest
	if latest.IsZero() {
		latest = t.now()
	}
	latest = latest.In(t.zone).Add(slack)
	for year := latest.Year(); year > latest.Year()-9; year-- {
		at := time.Date(year, month, day, hour, minute, 0, 0, t.zone)
		if _, m, d := at.Date(); m == month && d == day && !at.After(latest) {
			t.base = at.Unix()
			return true
		}
	}
	return false
}

// iso reads "2006-01-02T15:04:05", with a blank instead of the T, with a fraction
// after a dot or a comma, and with a zone or without.
func (t *stamps) iso(s string) (at time.Time, rest string, ok bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return at, s, false
	}
	sec, ok3 := two(s, 17)
	if s[:17] == string(t.zoned[:]) && ok3 && sec <= 60 {
		nanos, rest := fraction(s[19:])
		if after, ok := strings.CutPrefix(rest, t.offset); ok {
			return time.Unix(t.zonedBase+int64(sec), nanos).In(t.fixed), after, true
		}
	}
	hour, ok1 := two(s, 11)
	minute, ok2 := two(s, 14)
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || sec > 60 {
		return at, s, false
	}
	nanos, zone := fraction(s[19:])
	east, rest, zoned := offset(zone)
	if !zoned {
		return t.local(s, hour, minute, sec, nanos, rest)
	}
	if s[:10] != string(t.day[:]) {
		year, month, day, ok := date(s)
		if !ok {
			return at, s, false
		}
		copy(t.day[:], s)
		t.dayBase = time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()
	}
	if t.fixed == nil || t.east != east {
		t.east, t.fixed = east, time.UTC
		if east != 0 {
			t.fixed = time.FixedZone("", east)
		}
	}
	t.zonedBase = t.dayBase + int64(hour*3600+minute*60-east)
	copy(t.zoned[:], s)
	t.zonedWords = [2]uint64{binary.LittleEndian.Uint64(t.zoned[:]), binary.LittleEndian.Uint64(t.zoned[8:])}
	if zone = zone[:len(zone)-len(rest)]; zone != t.offset {
		t.offset = strings.Clone(zone)
	}
	return time.Unix(t.zonedBase+int64(sec), nanos).In(t.fixed), rest, true
}

// local finishes a stamp that has no zone.
func (t *stamps) local(s string, hour, minute, sec int, nanos int64, rest string) (time.Time, string, bool) {
	if t.length != 16 || s[:16] != string(t.minute[:]) {
		year, month, day, ok := date(s)
		if !ok {
			return time.Time{}, s, false
		}
		t.base = time.Date(year, month, day, hour, minute, 0, 0, t.zone).Unix()
		t.length = copy(t.minute[:], s[:16])
	}
	return time.Unix(t.base+int64(sec), nanos).In(t.zone), rest, true
}

// date reads "2006-01-02", a day that there is.
func date(s string) (year int, month time.Month, day int, ok bool) {
	century, ok1 := two(s, 0)
	year, ok2 := two(s, 2)
	m, ok3 := two(s, 5)
	day, ok4 := two(s, 8)
	year += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || m < 1 || m > 12 || day < 1 {
		return 0, 0, 0, false
	}
	at := time.Date(year, time.Month(m), day, 0, 0, 0, 0, time.UTC)
	return year, time.Month(m), day, at.Day() == day
}

// fraction reads ".123456" in nanoseconds.
func fraction(s string) (int64, string) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' || !isDigit(s[1]) {
		return 0, s
	}
	i, nanos, unit := 1, int64(0), int64(1e8)
	for ; i < len(s) && isDigit(s[i]); i++ {
		nanos += int64(s[i]-'0') * unit
		unit /= 10
	}
	return nanos, s[i:]
}

// offset reads Z, +01:00 or +0100, the latter also after a blank.
func offset(s string) (seconds int, rest string, ok bool) {
	if s != "" && s[0] == 'Z' {
		return 0, s[1:], true
	}
	z := strings.TrimPrefix(s, " ")
	if len(z) < 5 || z[0] != '+' && z[0] != '-' {
		return 0, s, false
	}
	hours, ok1 := two(z, 1)
	i := 3
	if z[3] == ':' && len(z) > 5 {
		i = 4
	}
	minutes, ok2 := two(z, i)
	if !ok1 || !ok2 || hours > 15 || minutes > 59 {
		return 0, s, false
	}
	seconds = hours*3600 + minutes*60
	if z[0] == '-' {
		seconds = -seconds
	}
	return seconds, z[i+2:], true
}

// two reads two digits.
func two(s string, i int) (int, bool) {
	if len(s) < i+2 || !isDigit(s[i]) || !isDigit(s[i+1]) {
		return 0, false
	}
	return int(s[i]-'0')*10 + int(s[i+1]-'0'), true
}

// monthOf returns 0 for what is no month's English short name.
func monthOf(s string) time.Month {
	switch s {
	case "Jan":
		return time.January
	case "Feb":
		return time.February
	case "Mar":
		return time.March
	case "Apr":
		return time.April
	case "May":
		return time.May
	case "Jun":
		return time.June
	case "Jul":
		return time.July
	case "Aug":
		return time.August
	case "Sep":
		return time.September
	case "Oct":
		return time.October
	case "Nov":
		return time.November
	case "Dec":
		return time.December
	default:
		return 0
	}
}
