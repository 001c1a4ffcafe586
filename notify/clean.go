package notify

import (
	"fmt"
	"strings"
	"unicode"
)

// maxLogin is how much of a login is shown.
const maxLogin = 80

// login is a login as it may stand in a message: it comes from a stranger, and must
// not call everybody in a channel, forge lines, or do anything in a shell into which
// it is pasted. Anything that is unusual in a login is shown as in a URL, as %3C.
func login(s string) string {
	var b strings.Builder
	for i := range min(len(s), maxLogin) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.' || c == '_' || c == '+' || c == '=':
			b.WriteByte(c)
		case c == '-' && i > 0, c == '@' && i > 0 && !mention(s[i:]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if len(s) > maxLogin {
		fmt.Fprintf(&b, "%%E2%%80%%A6+%d", len(s)-maxLogin)
	}
	return b.String()
}

// mention tells whether a text begins with what calls everybody in some chat.
func mention(s string) bool {
	for _, m := range []string{"@everyone", "@here", "@channel", "@all"} {
		if len(s) >= len(m) && strings.EqualFold(s[:len(m)], m) {
			return true
		}
	}
	return false
}

// clean is a text as it may stand in a message: as printable, and without what chats
// take for markup or for a call to everybody.
func clean(s string, longest int) string {
	text := []byte(printable(s, longest))
	for i, c := range text {
		if strings.IndexByte("<>`*|~[]\\", c) >= 0 || c == '@' && mention(string(text[i:])) {
			text[i] = '?'
		}
	}
	return string(text)
}

// printable is a text in one line, cut at so many characters, with a question mark
// for what cannot be printed.
func printable(s string, longest int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > longest {
			b.WriteString("…")
			break
		}
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
