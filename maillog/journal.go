package maillog

import (
	"strconv"
	"strings"
	"time"
)

// json reads a line of journalctl -o json
// (https://systemd.io/JOURNAL_EXPORT_FORMATS/), or of a container engine's log,
// whose "log" is a line with an envelope of its own. Only what is needed is kept;
// of an attribute that comes twice the last counts, as with every JSON parser.
func (p *Parser) json(s string, nested int) bool {
	var r journalLine
	p.unquoted = p.unquoted[:0]
	j := jsonText{s: s, buf: p.unquoted}
	ok := j.object(&r)
	p.unquoted = j.buf[:0]
	switch {
	case !ok:
		return false
	case r.log != "":
		at, _, stamped := p.stamps.iso(r.time)
		inner := strings.TrimRight(r.log, "\r\n")
		if nested < maxNested && p.envelope(inner, nested+1) {
			return true
		}
		p.line.At = at
		return stamped && p.header(inner, false)
	}
	micros, err := strconv.ParseInt(r.realtime, 10, 64)
	if err != nil || micros < 0 || !r.hasMessage {
		return false
	}
	p.line.At = time.UnixMicro(micros).In(p.stamps.zone)
	p.line.Host, p.line.Program, p.message = r.host, r.identifier, r.message
	if p.line.Program == "" {
		p.line.Program = r.comm
	}
	p.line.PID, _, _ = number(r.pid)
	if p.line.PID == 0 {
		p.line.PID, _, _ = number(r.syslogPID)
	}
	return true
}

// journalLine is what is needed of an entry. The texts are views.
type journalLine struct {
	message, realtime, host, identifier, comm string
	pid, syslogPID                            string
	log, time                                 string
	hasMessage                                bool
}

func (r *journalLine) set(name, value string) {
	switch name {
	case "MESSAGE":
		r.message, r.hasMessage = value, true
	case "__REALTIME_TIMESTAMP":
		r.realtime = value
	case "_HOSTNAME":
		r.host = value
	case "SYSLOG_IDENTIFIER":
		r.identifier = value
	case "_COMM":
		r.comm = value
	case "_PID":
		r.pid = value
	case "SYSLOG_PID":
		r.syslogPID = value
	case "log":
		r.log = value
	case "time":
		r.time = value
	}
}
