package maillog

import (
	"math/bits"
	"strings"
)

// headers remembers how the lines of a log have named host and program, so that a
// line that begins as one before it need not be taken apart again. A log has few of
// them.
type headers [1 << headerBits]header

const headerBits = 8

// header is a blank, a host, a program, and the bracket or colon after it, as they
// were read by Parser.header.
type header struct {
	text string
	kind headerKind
	host string
	prog *program
}

// headerKind is what else decides how a header is read: the time before it.
type headerKind uint8

const (
	afterISO headerKind = iota
	afterPlain
	afterRFC3164
)

// The bounds of a header that is remembered, in bytes. One that is shorter might be
// another's beginning (container).
const (
	shortestHeader = 6
	longestHeader  = 128
)

// cut returns the header that rest begins with, "" if there is none to remember, and
// where it is kept. It ends with the first bracket or colon, which is looked for in
// eight bytes at once.
func (h *headers) cut(rest string) (text string, slot *header) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	head := rest[:min(len(rest), longestHeader)]
	sum, end := uint64(0), 0
	for i := 0; end == 0; i += 8 {
		var w uint64
		if i+8 <= len(head) {
			w = eight(head[i : i+8])
		} else {
			w = atMostEight(head[i:])
		}
		bracket, colon := w^'['*ones, w^':'*ones
		found := ((bracket-ones)&^bracket | (colon-ones)&^colon) & tops // the lowest is one of them
		if found == 0 && i+8 >= len(head) {
			return "", nil
		}
		if found != 0 {
			last := bits.TrailingZeros64(found) // the upper bit of its byte
			w &= 2<<last - 1
			end = i + last/8 + 1
		}
		sum = (sum ^ w) * spread
	}
	if end < shortestHeader {
		return "", nil
	}
	return head[:end], &h[sum>>(64-headerBits)]
}

// spread is the factor of Knuth's multiplicative hashing.
const spread = 0x9e3779b97f4a7c15

// eight returns eight bytes, the first of them in the lowest bits.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// atMostEight does so with fewer, as if zeros followed.
func atMostEight(s string) (w uint64) {
	for i := range min(len(s), 8) {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}

// remembered reads what follows the time if its header was read before.
func (p *Parser) remembered(rest string, kind headerKind) bool {
	h, pid, message := p.headers.find(rest, kind)
	if h == nil {
		return false
	}
	p.known(h, pid, message)
	return true
}

// known takes over what stands in a header that was read before, and behind it.
func (p *Parser) known(h *header, pid int, message string) {
	p.line.Host, p.line.Program, p.line.PID, p.prog = h.host, h.prog.name, pid, h.prog
	p.message = message
	p.solaris()
}

// find finds the header that rest begins with, and what follows it; nil if it was
// not read before.
func (h *headers) find(rest string, kind headerKind) (known *header, pid int, message string) {
	text, known := h.cut(rest)
	if text == "" || known.text != text || known.kind != kind {
		return nil, 0, ""
	}
	message = rest[len(text):]
	if text[len(text)-1] == '[' {
		var ok bool
		if pid, message, ok = number(message); !ok || len(message) < 2 || message[0] != ']' || message[1] != ':' {
			return nil, 0, ""
		}
		message = message[2:]
	} else if message != "" && message[0] != ' ' {
		return nil, 0, ""
	}
	return known, pid, strings.TrimPrefix(message, " ")
}

// remember keeps the header that was read of rest, if it stands there as it was read.
func (p *Parser) remember(rest string, kind headerKind) {
	text, slot := p.headers.cut(rest)
	if text == "" || p.line.Host == "" || p.line.Program == "" {
		return
	}
	host, program, ok := strings.Cut(strings.TrimLeft(text[:len(text)-1], " "), " ")
	if !ok || host != p.line.Host || strings.TrimLeft(program, " ") != p.line.Program {
		return
	}
	if c := text[1]; isDigit(c) || c == '<' || c == '{' || text[4] == ' ' && monthOf(text[1:4]) != 0 {
		return // what follows may make it another envelope
	}
	*slot = header{text: strings.Clone(text), kind: kind, host: strings.Clone(host), prog: p.programs.of(p.line.Program)}
}
