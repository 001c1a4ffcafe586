package maillog

import (
	"strings"
	"time"
)

// ownLog reads what follows the time in the logs that Exim and Zimbra write by
// themselves, which name no program.
func (p *Parser) ownLog(s string) bool {
	for _, level := range [...]string{"INFO ", "WARN ", "ERROR ", "DEBUG ", "FATAL "} {
		if rest, ok := strings.CutPrefix(s, level); ok {
			if rest = strings.TrimLeft(rest, " "); strings.HasPrefix(rest, "[") {
				p.line.Program, p.message = "zimbra", rest
				return true
			}
		}
	}
	if strings.HasPrefix(s, "[") {
		pid, rest, ok := number(s[1:])
		if ok && strings.HasPrefix(rest, "] ") {
			p.line.PID, s = pid, rest[2:]
		}
	}
	p.line.Program, p.message = "exim", s
	return true
}

// roundcubeFile reads the envelope of Roundcube's own log files:
// "[22-Jan-2013 22:28:21 +0200]: message".
func (p *Parser) roundcubeFile(s string) bool {
	stamp, rest, ok := strings.Cut(s[1:], "]")
	if !ok || len(stamp) < 20 || len(stamp) > 40 || stamp[2] != '-' || stamp[6] != '-' || stamp[11] != ' ' {
		return false
	}
	month := monthOf(stamp[3:6])
	if month == 0 {
		return false
	}
	var iso [40]byte // the same time as others write it
	n := copy(iso[:], stamp[7:11])
	n += copy(iso[n:], []byte{'-', '0' + byte(month/10), '0' + byte(month%10), '-'})
	n += copy(iso[n:], stamp[:2])
	n += copy(iso[n:], stamp[11:])
	at, left, ok := p.stamps.iso(string(iso[:n]))
	if !ok || left != "" || !strings.HasPrefix(rest, ": ") {
		return false
	}
	p.line.At, p.line.Program, p.message = at, "roundcube", rest[2:]
	return true
}

// tai64n reads "@400000004c91b044077a9e94" (https://cr.yp.to/libtai/tai64.html), as
// multilog writes it.
func tai64n(s string) (at time.Time, rest string, ok bool) {
	const digits = 24
	if len(s) < 1+digits+1 || s[0] != '@' || s[1+digits] != ' ' {
		return at, s, false
	}
	var n [2]uint64
	for i := range digits {
		c := s[1+i]
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return at, s, false
		}
		n[i/16] = n[i/16]<<4 | uint64(c)
	}
	// The label of 1970 is 2^62 and ten seconds; multilog knows no leap seconds.
	const epoch = 1<<62 + 10
	if n[0] < epoch || n[0] > epoch+1<<40 || n[1] > 999_999_999 {
		return at, s, false
	}
	return time.Unix(int64(n[0]-epoch), int64(n[1])), s[1+digits:], true
}
