package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/guard"
)

// repeatable is the attempt of the line before, which a syslog that folds equal
// lines may repeat.
type repeatable struct {
	host, kind string
	attempt    guard.Attempt
	kept       bool
}

func (r *repeatable) forget() { r.kept = false }

// repeated reads how a syslog folds equal lines: rsyslog's "message repeated 3
// times: [ the message]" holds it whole, the "last message repeated 3 times" of
// others refers to the line before.
func (p *Parser) repeated(r *Reading) bool {
	if p.line.Program == "" {
		return p.repeatedLast(r)
	}
	rest, ok := strings.CutPrefix(p.message, "message repeated ")
	if !ok {
		return false
	}
	n, rest, ok := count(rest)
	rest, framed := strings.CutPrefix(rest, " times: [")
	if !ok || !framed || !strings.HasSuffix(rest, "]") {
		return false
	}
	p.times = min(max(n, 1), maxCount)
	p.message = strings.TrimPrefix(rest[:len(rest)-1], " ")
	return false
}

func (p *Parser) repeatedLast(r *Reading) bool {
	rest, ok := strings.CutPrefix(p.message, "last message repeated ")
	if !ok {
		return false
	}
	n, rest, ok := count(rest)
	if !ok || rest != " times" && rest != " time" {
		return false
	}
	if !p.last.kept || p.last.host != p.line.Host {
		return true
	}
	a := p.last.attempt
	a.At, a.Count = p.line.At, min(a.Count*max(n, 1), maxCount)
	p.yield(a)
	r.Class, r.Kind = Login, p.last.kind
	return true
}
