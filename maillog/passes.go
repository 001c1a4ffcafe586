package maillog

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/saslguard/saslguard/guard"
)

// Skim is Parse for whoever reads a whole log. Most lines say nothing of a login, and
// of most of those it tells so at a glance, and when they were written: such a line
// passes, and r is left alone. Parse would read it as Other; the parser is as if it had.
// Every other line is parsed into r.
//
// It knows lines that begin as one that was parsed: by the same program on the same
// host. It is quickest in the same minute, with the fraction of a second as rsyslog and
// Dovecot write it.
func (p *Parser) Skim(line []byte, r *Reading, yield func(guard.Attempt)) (at time.Time, passes bool) {
	var g glance
	if !p.glance(line, &g) {
		*r = p.Parse(line, yield)
		return r.Line.At, false
	}
	if prog := g.header.prog; prog.read == nil || prog.passes != nil && prog.passes(g.message) {
		p.last.forget()
		return g.at, true
	}
	p.begin(yield)
	p.line.At = g.at
	p.known(g.header, g.pid, g.message)
	p.finish(r)
	return r.Line.At, false
}

// glance is what is before a message, where it was read before.
type glance struct {
	at      time.Time
	header  *header
	pid     int
	message string
}

// glance reads what is before the message as envelope does, and tells whether it could:
// it knows a time, and a header that it has met.
func (p *Parser) glance(line []byte, g *glance) bool {
	if len(line) < shortestLine || len(line) >= MaxLine {
		return false
	}
	var rest string
	kind, ok := afterRFC3164, false
	switch s, c := unsafe.String(unsafe.SliceData(line), len(line)), line[0]; {
	case isDigit(c):
		if g.at, rest, ok = p.stamps.again(line); !ok {
			g.at, rest, ok = p.stamps.iso(s)
		}
		if kind = afterISO; s[10] == ' ' {
			kind = afterPlain
		}
	case 'A' <= c && c <= 'S': // as months begin
		g.at, rest, ok = p.stamps.rfc3164(s)
	}
	if !ok || rest == "" || rest[0] != ' ' {
		return false
	}
	g.header, g.pid, g.message = p.headers.find(rest, kind)
	return g.header != nil
}

// shortestLine is the length of a time, which is looked at before anything else is known
// of a line.
const shortestLine = len("Jan  2 15:04:05")

// again reads a time like "2006-01-02T15:04:05.123456+01:00" in the minute and the
// zone of the one before, as iso does. Eight bytes are looked at at once.
func (t *stamps) again(line []byte) (at time.Time, rest string, ok bool) {
	const seconds, zone = len("2006-01-02T15:04:"), len("2006-01-02T15:04:05.123456")
	end := zone + len(t.offset)
	if t.fixed == nil || len(line) < end || binary.LittleEndian.Uint64(line) != t.zonedWords[0] ||
		binary.LittleEndian.Uint64(line[8:]) != t.zonedWords[1] || line[seconds-1] != ':' {
		return at, "", false
	}
	tens := line[seconds]
	// "5.123456", the dot as if it were a zero.
	digits, ok := eightDigits(binary.LittleEndian.Uint64(line[seconds+1:]) ^ ('.'^'0')<<8)
	if !ok || line[seconds+2] != '.' || !isDigit(tens) {
		return at, "", false
	}
	sec := int64(tens-'0')*10 + digits/1e7
	if sec > 60 || string(line[zone:end]) != t.offset {
		return at, "", false
	}
	line = line[end:]
	return time.Unix(t.zonedBase+sec, digits%1e7*1000).In(t.fixed), unsafe.String(unsafe.SliceData(line), len(line)), true
}

// eightDigits reads a decimal number of eight digits, the first of which is the lowest
// byte.
func eightDigits(w uint64) (n int64, ok bool) {
	const zeros, tops = 0x3030303030303030, 0x8080808080808080
	// Adding takes what is above '9' over 0x7f, subtracting what is below '0'. The first
	// byte that is no digit shows, since nothing is carried into it.
	if ((w+0x4646464646464646)|(w-zeros))&tops != 0 {
		return 0, false
	}
	w -= zeros
	w = w*10 + w>>8 // pairs, in every other byte
	const pairs = 0x000000ff000000ff
	return int64((w&pairs*(100+1_000_000<<32) + w>>16&pairs*(1+10_000<<32)) >> 32), true
}
