package maillog

import (
	"net/netip"
	"strings"
)

// address parses what stands where a program writes a client's address. It looks at
// the whole text, not for something that resembles an address: a reverse name such
// as 8.8.8.8.example.net is none. The result is unmapped and has no zone.
func address(s string) (netip.Addr, bool) {
	s = strings.TrimPrefix(s, "IPv6:") // as sendmail writes it
	if len(s) < 2 || len(s) > 64 || !isHex(s[0]) && s[0] != ':' {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// bracketed splits "[address]rest".
func bracketed(s string) (addr netip.Addr, rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return addr, s, false
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return addr, s, false
	}
	addr, ok = address(s[1:end])
	return addr, s[end+1:], ok
}

// hostAddress splits "host[address]rest", also with a blank between the two. The
// host is what the resolver said: a name without blanks and brackets, or it is not
// taken for one.
func hostAddress(s string) (addr netip.Addr, rest string, ok bool) {
	i := strings.IndexAny(s, "[ ")
	if i < 0 {
		return addr, s, false
	}
	if s[i] == ' ' {
		if i+1 >= len(s) || s[i+1] != '[' {
			return addr, s, false
		}
		i++
	}
	return bracketed(s[i:])
}

// skipPort skips ":port".
func skipPort(s string) string {
	if s == "" || s[0] != ':' {
		return s
	}
	_, rest, ok := number(s[1:])
	if !ok {
		return s
	}
	return rest
}

// number splits a decimal number off. More than nine digits are none.
func number(s string) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && i < 10 && isDigit(s[i]) {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0 && i < 10
}

// count reads how many attempts a line tells of.
func count(s string) (n int, rest string, ok bool) {
	n, rest, ok = number(s)
	if i := 0; !ok { // too many digits to be counted are still many
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return maxCount, s[i:], i > 0
	}
	return min(n, maxCount), rest, true
}

// longestBehind bounds a message, in bytes, whose client stands behind what it has
// said itself. Syslogs may cut at 1 KiB with the envelope (RFC 3164, section 4.1),
// Courier does by itself: of a longer one the true end may be missing, and what is
// last in it be what the client has made up for its address.
const longestBehind = 700

// maybeCut tells whether the end of the message may be missing.
func (p *Parser) maybeCut() bool { return len(p.message) > longestBehind }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// all tells whether s has only bytes that are letters, digits or in more.
func all(s, more string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(more, s[i]) < 0 {
			return false
		}
	}
	return true
}

// mechanism returns the name of a SASL mechanism in capitals, a constant for those
// that are common, "" for what cannot be one (RFC 4422, section 3.1).
func mechanism(s string) string {
	switch s { // as nearly all are
	case "PLAIN":
		return "PLAIN"
	case "LOGIN":
		return "LOGIN"
	}
	if len(s) == 0 || len(s) > 20 || !all(s, "-_") {
		return ""
	}
	for _, known := range [...]string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "NTLM", "GSSAPI", "APOP"} {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return strings.Clone(strings.ToUpper(s))
}
