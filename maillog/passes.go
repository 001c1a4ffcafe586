package maillog

import (
	"time"
	"unsafe"
)

// Passes tells at a glance of most lines that say nothing of a login, and when they
// were written. Where it does, Parse would read the line as Other, and need not: the
// parser is as if it had. Where it does not, the line is to be parsed.
//
// It knows lines that begin as one that was parsed: in the same minute, by the same
// program on the same host, with the fraction of a second as rsyslog and Dovecot
// write it.
func (p *Parser) Passes(line []byte) (at time.Time, ok bool) {
	if len(line) >= MaxLine {
		return at, false
	}
	s := unsafe.String(unsafe.SliceData(line), len(line))
	at, rest, ok := p.stamps.again(s)
	if !ok || rest == "" || rest[0] != ' ' {
		return at, false
	}
	kind := afterISO
	if s[10] == ' ' {
		kind = afterPlain
	}
	h, _, message := p.headers.find(rest, kind)
	if h == nil || h.prog.read != nil && (h.prog.passes == nil || !h.prog.passes(message)) {
		return at, false
	}
	p.last.forget()
	return at, true
}

// again reads a time like "2006-01-02T15:04:05.123456+01:00" in the minute and the
// zone of the one before, as iso does.
func (t *stamps) again(s string) (at time.Time, rest string, ok bool) {
	const fraction, zone = len("2006-01-02T15:04:05"), len("2006-01-02T15:04:05.123456")
	if t.fixed == nil || len(s) < zone || s[:len(t.zoned)] != string(t.zoned[:]) || s[fraction] != '.' {
		return at, s, false
	}
	sec, ok := two(s, len(t.zoned))
	if !ok || sec > 60 {
		return at, s, false
	}
	micros := int64(0)
	for i := fraction + 1; i < zone; i++ {
		if !isDigit(s[i]) {
			return at, s, false
		}
		micros = micros*10 + int64(s[i]-'0')
	}
	end := zone + len(t.offset)
	if len(s) < end || s[zone:end] != t.offset {
		return at, s, false
	}
	return time.Unix(t.zonedBase+int64(sec), micros*1000).In(t.fixed), s[end:], true
}
