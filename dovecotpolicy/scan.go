package dovecotpolicy

import (
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of attributes that nobody here reads. Dovecot
// nests once for each slash in the name of an attribute.
const maxDepth = 32

// scanner reads JSON (RFC 8259) without building anything: what it returns are
// parts of the body. It accepts what encoding/json accepts, bytes that are no
// UTF-8 in strings included: a login may be any bytes, and to reject it would
// let it through.
type scanner struct {
	body []byte
	at   int
}

// peek skips white space and returns the next byte, or 0 at the end. A zero
// byte in the body begins nothing in JSON, so the two need no telling apart.
func (s *scanner) peek() byte {
	for ; s.at < len(s.body); s.at++ {
		switch c := s.body[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and the byte c.
func (s *scanner) take(c byte, want string) error {
	if s.peek() != c {
		return s.fail(want)
	}
	s.at++
	return nil
}

// text reads a string. The result is part of the body unless it has escapes.
func (s *scanner) text() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("want a string")
	}
	s.at++
	start := s.at
	for ; s.at < len(s.body); s.at++ {
		switch c := s.body[s.at]; {
		case c == '"':
			s.at++
			return s.body[start : s.at-1], nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return nil, s.fail("control character in a string")
		}
	}
	return nil, s.fail("string without an end")
}

// escaped reads the rest of a string that began at start and has an escape at
// s.at.
func (s *scanner) escaped(start int) ([]byte, error) {
	out := append(make([]byte, 0, 2*(s.at-start)+32), s.body[start:s.at]...)
	for s.at < len(s.body) {
		c := s.body[s.at]
		switch {
		case c == '"':
			s.at++
			return out, nil
		case c < ' ':
			return nil, s.fail("control character in a string")
		case c != '\\':
			s.at++
			out = append(out, c)
		default:
			var err error
			if out, err = s.escape(out); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.fail("string without an end")
}

// escape reads one escape and appends what it stands for.
func (s *scanner) escape(out []byte) ([]byte, error) {
	if s.at+1 >= len(s.body) {
		return nil, s.fail("string without an end")
	}
	c := s.body[s.at+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(out)
	default:
		return nil, s.fail("unknown escape in a string")
	}
	s.at += 2
	return append(out, c), nil
}

// unicode reads \uXXXX, or the two of a surrogate pair. Half a pair becomes
// U+FFFD, as in encoding/json.
func (s *scanner) unicode(out []byte) ([]byte, error) {
	r, ok := s.hex4(s.at)
	if !ok {
		return nil, s.fail("bad unicode escape in a string")
	}
	s.at += 6
	if utf16.IsSurrogate(r) {
		low, _ := s.hex4(s.at)
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			s.at += 6
		}
	}
	return utf8.AppendRune(out, r), nil
}

// hex4 returns the value of the \uXXXX at a position.
func (s *scanner) hex4(at int) (rune, bool) {
	if at+6 > len(s.body) || s.body[at] != '\\' || s.body[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.body[at+2 : at+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// word reads true, false or null.
func (s *scanner) word(w string) error {
	if len(s.body)-s.at < len(w) || string(s.body[s.at:s.at+len(w)]) != w {
		return s.fail("want a value")
	}
	s.at += len(w)
	return nil
}

// number skips a number.
func (s *scanner) number() error {
	if s.at < len(s.body) && s.body[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.body) && s.body[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return s.fail("want a value")
	}
	if s.at < len(s.body) && s.body[s.at] == '.' {
		s.at++
		if !s.digits() {
			return s.fail("want a digit")
		}
	}
	if s.at < len(s.body) && s.body[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.body) && (s.body[s.at] == '+' || s.body[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return s.fail("want a digit")
		}
	}
	return nil
}

// digits skips digits and says whether there were any.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.body) && '0' <= s.body[s.at] && s.body[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// skip reads any value and forgets it. depth is how deep it lies.
func (s *scanner) skip(depth int) error {
	switch c := s.peek(); c {
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	case '{', '[':
		if depth == maxDepth {
			return s.fail("nested too deeply")
		}
		return s.skipInside(c == '{', depth+1)
	default:
		return s.number()
	}
}

// skipInside reads an object or an array and forgets it.
func (s *scanner) skipInside(object bool, depth int) error {
	end := byte(']')
	if object {
		end = '}'
	}
	s.at++
	if s.peek() == end {
		s.at++
		return nil
	}
	for {
		if object {
			if _, err := s.text(); err != nil {
				return err
			}
			if err := s.take(':', "want a colon"); err != nil {
				return err
			}
		}
		if err := s.skip(depth); err != nil {
			return err
		}
		if s.peek() == end {
			s.at++
			return nil
		}
		if err := s.take(',', "want a comma or the end of the value"); err != nil {
			return err
		}
	}
}

func (s *scanner) fail(text string) error {
	return &parseError{reason: badJSON, text: text, at: s.at}
}
