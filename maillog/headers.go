package maillog

import "strings"

// headers remembers how the lines of a log have named host and program, so that a
// line that begins as one before it need not be taken apart again. A log has few of
// them.
type headers [64]header

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

// cut returns the header that rest begins with, "" if there is none to remember.
func (h *headers) cut(rest string) string {
	head := rest[:min(len(rest), longestHeader)]
	end := strings.IndexByte(head, '[')
	if end >= 0 {
		head = head[:end]
	}
	if colon := strings.IndexByte(head, ':'); colon >= 0 {
		end = colon
	}
	if end+1 < shortestHeader {
		return ""
	}
	return rest[:end+1]
}

// slot is where a header is kept. What tells programs apart is their length and how
// they end; with these factors 20 of the 21 that are common with Postfix and Dovecot
// have a slot of their own.
func (h *headers) slot(text string) *header {
	n := len(text)
	return &h[(3*n+5*int(text[n-2])+7*int(text[n-3])+11*int(text[n-4])+13*int(text[n-5]))%len(h)]
}

// remembered reads what follows the time if its header was read before.
func (p *Parser) remembered(rest string, kind headerKind) bool {
	h, pid, message := p.headers.find(rest, kind)
	if h == nil {
		return false
	}
	p.line.Host, p.line.Program, p.line.PID, p.prog = h.host, h.prog.name, pid, h.prog
	p.message = message
	p.solaris()
	return true
}

// find finds the header that rest begins with, and what follows it; nil if it was
// not read before.
func (h *headers) find(rest string, kind headerKind) (known *header, pid int, message string) {
	text := h.cut(rest)
	if text == "" {
		return nil, 0, ""
	}
	known = h.slot(text)
	if known.text != text || known.kind != kind {
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
	text := p.headers.cut(rest)
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
	*p.headers.slot(text) = header{text: strings.Clone(text), kind: kind, host: strings.Clone(host), prog: p.programs.of(p.line.Program)}
}
