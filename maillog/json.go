package maillog

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// jsonText reads JSON (RFC 8259) from s. What is escaped in it is unescaped into
// buf, in which room for all of it is made at once, so that views of it stay good.
type jsonText struct {
	s   string
	i   int
	buf []byte
}

func (j *jsonText) peek() byte {
	for j.i < len(j.s) {
		switch c := j.s[j.i]; c {
		case ' ', '\t', '\r', '\n':
			j.i++
		default:
			return c
		}
	}
	return 0
}

func (j *jsonText) take(c byte) bool {
	if j.peek() != c {
		return false
	}
	j.i++
	return true
}

// object reads one object and nothing after it.
func (j *jsonText) object(r *journalLine) bool {
	if cap(j.buf) < len(j.s) {
		j.buf = make([]byte, 0, len(j.s))
	}
	if !j.take('{') {
		return false
	}
	for first := true; ; first = false {
		if first && j.take('}') {
			return j.peek() == 0
		}
		name, ok := j.text()
		if !ok || !j.take(':') || !j.value(r, name) {
			return false
		}
		if j.take('}') {
			return j.peek() == 0
		}
		if !j.take(',') {
			return false
		}
	}
}

// value reads an attribute's value: a string, or an array of the bytes of one that
// is not UTF-8. Everything else is skipped.
func (j *jsonText) value(r *journalLine, name string) bool {
	switch j.peek() {
	case '"':
		value, ok := j.text()
		r.set(name, value)
		return ok
	case '[':
		at := j.i
		if value, ok := j.bytes(); ok {
			r.set(name, value)
			return true
		}
		j.i = at
		return j.skip(0)
	default:
		return j.skip(0)
	}
}

// text reads a string.
func (j *jsonText) text() (string, bool) {
	if !j.take('"') {
		return "", false
	}
	start := j.i
	for ; j.i < len(j.s); j.i++ {
		switch j.s[j.i] {
		case '"':
			j.i++
			return j.s[start : j.i-1], true
		case '\\':
			return j.escaped(start)
		}
	}
	return "", false
}

// escaped reads the rest of a string that has an escape in it.
func (j *jsonText) escaped(start int) (string, bool) {
	from := len(j.buf)
	j.buf = append(j.buf, j.s[start:j.i]...)
	for j.i < len(j.s) {
		c := j.s[j.i]
		j.i++
		switch c {
		case '"':
			out := j.buf[from:]
			return unsafe.String(unsafe.SliceData(out), len(out)), true
		case '\\':
			if !j.escape() {
				return "", false
			}
		default:
			j.buf = append(j.buf, c)
		}
	}
	return "", false
}

func (j *jsonText) escape() bool {
	if j.i >= len(j.s) {
		return false
	}
	c := j.s[j.i]
	j.i++
	switch c {
	case '"', '\\', '/':
		j.buf = append(j.buf, c)
	case 'b':
		j.buf = append(j.buf, '\b')
	case 'f':
		j.buf = append(j.buf, '\f')
	case 'n':
		j.buf = append(j.buf, '\n')
	case 'r':
		j.buf = append(j.buf, '\r')
	case 't':
		j.buf = append(j.buf, '\t')
	case 'u':
		r, ok := j.unit()
		if !ok {
			return false
		}
		if utf16.IsSurrogate(r) {
			r = j.pair(r)
		}
		j.buf = utf8.AppendRune(j.buf, r)
	default:
		return false
	}
	return true
}

// unit reads the four digits of \u.
func (j *jsonText) unit() (rune, bool) {
	if j.i+4 > len(j.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(j.s[j.i:j.i+4], 16, 16)
	j.i += 4
	return rune(n), err == nil
}

// pair reads the second half of a character of two units.
func (j *jsonText) pair(first rune) rune {
	if !strings.HasPrefix(j.s[j.i:], `\u`) {
		return utf8.RuneError
	}
	at := j.i
	j.i += 2
	second, ok := j.unit()
	r := utf16.DecodeRune(first, second)
	if !ok || r == utf8.RuneError {
		j.i = at
		return utf8.RuneError
	}
	return r
}

// bytes reads an array of numbers from 0 to 255.
func (j *jsonText) bytes() (string, bool) {
	from := len(j.buf)
	j.take('[')
	for {
		j.peek()
		n, rest, ok := number(j.s[j.i:])
		if !ok || n > 255 {
			j.buf = j.buf[:from]
			return "", false
		}
		j.i = len(j.s) - len(rest)
		j.buf = append(j.buf, byte(n))
		if j.take(']') {
			out := j.buf[from:]
			return unsafe.String(unsafe.SliceData(out), len(out)), true
		}
		if !j.take(',') {
			j.buf = j.buf[:from]
			return "", false
		}
	}
}

// skip skips a value of any type. It goes no deeper than entries are.
func (j *jsonText) skip(depth int) bool {
	const deepest = 8
	switch c := j.peek(); {
	case c == '"':
		_, ok := j.text()
		return ok
	case c == '[' || c == '{':
		j.i++
		if j.take(c + 2) {
			return true
		}
		for depth < deepest {
			if c == '{' {
				if _, ok := j.text(); !ok || !j.take(':') {
					return false
				}
			}
			if !j.skip(depth + 1) {
				return false
			}
			if j.take(c + 2) {
				return true
			}
			if !j.take(',') {
				return false
			}
		}
		return false
	default: // a number, true, false or null
		start := j.i
		for j.i < len(j.s) && (isAlnum(j.s[j.i]) || strings.IndexByte("+-.", j.s[j.i]) >= 0) {
			j.i++
		}
		return j.i > start
	}
}
