package maillog

import (
	"strconv"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// Field is a part of a line and what was read from it. The value is fit for a
// terminal: what is not printable, or would be mistaken, is escaped as in Go.
type Field struct {
	Name, Value string
}

// Explain tells how a line is read, field by field: its envelope, what kind of line
// it is, and each attempt that it yields. It is Parse, so a line that refers to
// earlier ones is understood if those were read.
func (p *Parser) Explain(line []byte) []Field {
	var attempts []guard.Attempt
	r := p.Parse(line, func(a guard.Attempt) { attempts = append(attempts, a) })
	var fields []Field
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, Field{name, value})
		}
	}
	if !r.Line.At.IsZero() {
		add("time", r.Line.At.Format(time.RFC3339Nano))
	}
	add("host", printable(r.Line.Host))
	add("program", printable(r.Line.Program))
	if r.Line.PID != 0 {
		add("pid", strconv.Itoa(r.Line.PID))
	}
	add("message", printable(string(r.Line.Message)))
	add("read as", r.Kind)
	add("class", r.Class.String())
	add("not counted", r.Why)
	for _, a := range attempts {
		add("outcome", outcome(a.Outcome))
		add("client", a.Client.String())
		add("account", printable(a.Login))
		add("service", printable(a.Service))
		add("mechanism", a.Mechanism)
		add("attempts", strconv.Itoa(a.Count))
	}
	return fields
}

func outcome(o score.Outcome) string {
	switch o {
	case score.Success:
		return "success"
	case score.UnknownAccount:
		return "failure, unknown account"
	default:
		return "failure"
	}
}

func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			q := strconv.Quote(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}
