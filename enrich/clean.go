package enrich

import (
	"strings"
	"unicode"
)

// longest is how many characters of a name are kept.
const longest = 80

// clean is a name as others have written it, in one printable line, and cut.
func clean(s string) string {
	var b strings.Builder
	n := 0
	blank := false
	for _, r := range s {
		if unicode.IsSpace(r) || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			blank = n > 0
			continue
		}
		if n >= longest || blank && n >= longest-1 {
			return b.String() + "…"
		}
		if blank {
			b.WriteByte(' ')
			n++
		}
		blank = false
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// country is a country's code, or "" for anything else.
func country(s string) string {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}

// mailAddress is a plain mail address, or "" for anything else: people will write to
// it, and perhaps programs.
func mailAddress(s string) string {
	const most = 254 // RFC 5321, 4.5.3.1.3
	s = strings.TrimPrefix(strings.TrimSpace(s), "mailto:")
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > most || local == "" || !strings.Contains(domain, ".") || strings.HasPrefix(local, "-") {
		return ""
	}
	plain := func(s, more string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(more, r))
		})
	}
	if !plain(local, "._+-=") || !plain(domain, ".-") {
		return ""
	}
	return s
}
