package maillog

import (
	"strings"
)

// maxNested is how many envelopes may be around a line: a container engine adds
// one of its own to that of the program, and a collector another.
const maxNested = 2

// envelope reads everything before the message, whatever its form. It is false
// for a line that has none that is known.
func (p *Parser) envelope(s string, nested int) bool {
	if s == "" {
		return false
	}
	switch c := s[0]; {
	case c == '{':
		return p.json(s, nested)
	case c == '<':
		return p.priority(s)
	case c == '[':
		return p.roundcubeFile(s)
	case c == '@':
		at, rest, ok := tai64n(s)
		p.line.At = at.In(p.stamps.zone)
		return ok && p.header(strings.TrimLeft(rest, " "), false)
	case isDigit(c):
		at, rest, ok := p.stamps.iso(s)
		if !ok || rest == "" || rest[0] != ' ' {
			return false
		}
		p.line.At = at
		kind := afterISO
		if s[10] == ' ' {
			kind = afterPlain
		}
		if p.remembered(rest, kind) {
			return true
		}
		if inner, ok := container(rest[1:]); ok && nested < maxNested && p.envelope(inner, nested+1) {
			return true
		}
		return p.headerOf(rest, kind)
	default:
		at, rest, ok := p.stamps.rfc3164(s)
		if !ok {
			inner, found := compose(s)
			return found && nested < maxNested && p.envelope(inner, nested+1)
		}
		p.line.At = at
		rest = strings.TrimPrefix(rest, ":") // Cisco's and some relays' way
		if rest == "" || rest[0] != ' ' {
			return false
		}
		return p.remembered(rest, afterRFC3164) || p.headerOf(rest, afterRFC3164)
	}
}

// headerOf reads the header that follows a time, and remembers it.
func (p *Parser) headerOf(rest string, kind headerKind) bool {
	if !p.header(strings.TrimLeft(rest, " "), kind == afterPlain) {
		return false
	}
	p.remember(rest, kind)
	return true
}

// priority reads "<22>" and what follows: RFC 3164, or RFC 5424 with its version.
func (p *Parser) priority(s string) bool {
	_, rest, ok := number(s[1:])
	if !ok || rest == "" || rest[0] != '>' {
		return false
	}
	rest = rest[1:]
	if after, found := strings.CutPrefix(rest, "1 "); found {
		return p.rfc5424(after)
	}
	return rest != "" && rest[0] != '<' && rest[0] != '{' && p.envelope(rest, maxNested)
}

// rfc5424 reads "time host program pid id data message" (RFC 5424, section 6).
func (p *Parser) rfc5424(s string) bool {
	at, rest, ok := p.stamps.iso(s)
	if !ok || rest == "" || rest[0] != ' ' {
		return false
	}
	var field [4]string // host, program, pid, id
	rest = rest[1:]
	for i := range field {
		if field[i], rest, ok = strings.Cut(rest, " "); !ok {
			return false
		}
		if field[i] == "-" {
			field[i] = ""
		}
	}
	if rest, ok = structuredData(rest); !ok {
		return false
	}
	p.line.At, p.line.Host, p.line.Program = at, field[0], field[1]
	p.line.PID, _, _ = number(field[2])
	p.message = strings.TrimLeft(strings.TrimPrefix(rest, "\ufeff"), " ")
	return true
}

// structuredData skips "-" or [id name="value" …]…, and the blank after it.
func structuredData(s string) (rest string, ok bool) {
	if after, found := strings.CutPrefix(s, "-"); found {
		return strings.TrimPrefix(after, " "), true
	}
	quoted := false
	i := 0
	for ; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ']' && (i+1 == len(s) || s[i+1] == ' '):
			return strings.TrimPrefix(s[i+1:], " "), s[0] == '['
		}
	}
	return s, false
}

// header reads "host program[pid]: message" after the time, and what programs
// write that log by themselves: without a host, without both (Exim), or with the
// program's own idea of the rest. plain is a time with a blank in it, as those
// programs write it.
//
// A host is a word of a host's letters only. So a login in the name of one of
// Dovecot's processes, which comes first in Dovecot's own log, is never taken for
// a host, and what follows it never for a program.
func (p *Parser) header(s string, plain bool) bool {
	if s != "" && s[0] == '<' { // FreeBSD's syslogd -v: <mail.info>
		end := strings.IndexByte(s, '>')
		if end < 0 || end > 24 {
			return false
		}
		s = strings.TrimLeft(s[end+1:], " ")
	}
	if host, rest, ok := strings.Cut(s, " "); ok && isHost(host) {
		rest = strings.TrimLeft(rest, " ")
		if p.tag(rest, plain) {
			p.line.Host = host
			return true
		}
		if strings.HasPrefix(rest, "last message repeated ") {
			p.line.Host, p.message = host, rest
			return true
		}
	}
	if name := s[:nameEnd(s)]; dovecotService(name) && len(name) < len(s) && (s[len(name)] == ':' || s[len(name)] == '(') {
		p.line.Program, p.message = "dovecot", s
		return true
	}
	if p.tag(s, true) {
		return true
	}
	return plain && p.ownLog(s)
}

// tag reads "program[pid]: message". Without a number it is one only if strict is
// not asked for.
func (p *Parser) tag(s string, strict bool) bool {
	end := nameEnd(s)
	if end == 0 || end == len(s) || end > maxName {
		return false
	}
	name, rest := s[:end], s[end:]
	if after, ok := strings.CutPrefix(rest, " ["); ok { // SOGo's way
		rest = rest[1:]
		if after == "" || !isDigit(after[0]) {
			return false
		}
	}
	switch {
	case rest[0] == '[':
		pid, after, ok := number(rest[1:])
		if !ok || !strings.HasPrefix(after, "]") {
			return false
		}
		after = after[1:]
		if !strings.HasPrefix(after, ":") {
			return false
		}
		p.line.Program, p.line.PID, p.message = name, pid, strings.TrimPrefix(after[1:], " ")
	case rest[0] == ':' && !strict && (len(rest) == 1 || rest[1] == ' '):
		p.line.Program, p.message = name, strings.TrimPrefix(rest[1:], " ")
	default:
		return false
	}
	p.solaris()
	return true
}

// solaris drops "[ID 197553 mail.info] " at the beginning of a message.
func (p *Parser) solaris() {
	if rest, ok := strings.CutPrefix(p.message, "[ID "); ok {
		if _, rest, ok = number(rest); ok && strings.HasPrefix(rest, " ") {
			if end := strings.Index(rest, "] "); end > 0 && end < 24 && all(rest[1:end], ".") {
				p.message = rest[end+2:]
			}
		}
	}
}

// nameEnd returns where the name of a program ends.
func nameEnd(s string) int {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '/' && c != '-' && c != '_' && c != '.' && c != '+' {
			return i
		}
	}
	return len(s)
}

func isHost(s string) bool {
	return s != "" && len(s) <= maxHost && s[len(s)-1] != ':' && all(s, ".-_:")
}

// container cuts what Kubernetes writes after the time, "stdout F ", or nothing
// where a second time follows, as with docker logs -t.
func container(s string) (inner string, ok bool) {
	for _, prefix := range [...]string{"stdout F ", "stderr F "} {
		if inner, ok := strings.CutPrefix(s, prefix); ok {
			return inner, true
		}
	}
	return s, len(s) > 15 && (isDigit(s[0]) && s[4] == '-' || s[0] == '<' || s[0] == '{' || s[3] == ' ' && monthOf(s[:3]) != 0)
}

// compose cuts "name-1  | ", which docker compose logs writes before a line.
func compose(s string) (inner string, ok bool) {
	name, inner, ok := strings.Cut(s, "| ")
	name = strings.TrimRight(name, " ")
	return inner, ok && name != "" && len(name) <= 64 && all(name, "-_.")
}
