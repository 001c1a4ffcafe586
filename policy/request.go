package policy

import (
	"bytes"
	"net/netip"
	"unsafe"

	"github.com/saslguard/saslguard/guard"
)

// maxLine bounds a line of a request in bytes. Postfix cuts what clients say
// at 2,048 (line_length_limit); values of 1,990 bytes have been seen.
const maxLine = 8 << 10

// Reasons for which a request is malformed; the label of a metric.
const (
	badOversize  = "oversize"       // longer than max_request
	badLine      = "line"           // no "=", no name, or longer than maxLine
	badRequest   = "request"        // not request=smtpd_access_policy
	badClient    = "client_address" // not an IP address
	badUnknown   = "client_unknown" // Postfix could not tell the address
	badTruncated = "truncated"      // the connection ended within a request
	badSlow      = "timeout"        // the rest of a request did not come in time
)

// request is what is needed of a request's attributes. The slices are views
// into the connection's buffer and are good until the next request is read.
type request struct {
	kind, state         []byte
	address, clientPort []byte
	serverPort, context []byte
	instance            []byte
	method, username    []byte

	client netip.Addr
	port   uint16 // the client's; 0: not told, as before Postfix 3.0
}

// frameLen returns the length of the first whole request in b, its final empty
// line included, or 0. Lines that begin before scanned were looked at already;
// the new scanned is the beginning of the line that is not whole. A CR before
// a line feed belongs to the line's end.
func frameLen(b []byte, scanned int) (n, newScanned int) {
	if rest := b[scanned:]; bytes.IndexByte(rest, '\r') < 0 {
		// All that Postfix sends is like that.
		if end := afterEmptyLine(rest); end > 0 {
			return scanned + end, scanned + end
		}
		return 0, scanned + bytes.LastIndexByte(rest, '\n') + 1
	}
	for {
		i := bytes.IndexByte(b[scanned:], '\n')
		if i < 0 {
			return 0, scanned
		}
		empty := i == 0 || i == 1 && b[scanned] == '\r'
		scanned += i + 1
		if empty {
			return scanned, scanned
		}
	}
}

// afterEmptyLine returns where the first empty line of b ends, or 0. Of two line feeds
// in a row one is at an odd place, so that half the bytes need no look.
func afterEmptyLine(b []byte) int {
	if len(b) > 0 && b[0] == '\n' {
		return 1
	}
	for i := 1; i < len(b); i += 2 {
		if b[i] != '\n' {
			continue
		}
		if b[i-1] == '\n' {
			return i + 1
		}
		if i+1 < len(b) && b[i+1] == '\n' {
			return i + 2
		}
	}
	return 0
}

// parse reads the attributes of one whole request and returns "" or why it is
// malformed. A line is split at its first "=", its value is taken as it is,
// attributes that are not known are skipped, and of one that comes twice the
// last counts: Postfix sends none twice and lets no line feed into a value. One
// CR before a line feed belongs to the line's end.
func (r *request) parse(frame []byte) (bad string) {
	*r = request{}
	for len(frame) > 0 {
		// Names are short and most values empty: a search would take longer to begin.
		n := 0
		for n < len(frame) && frame[n] != '=' && frame[n] != '\n' {
			n++
		}
		if n < len(frame) && frame[n] == '\n' && (n == 0 || n == 1 && frame[0] == '\r') {
			break
		}
		if n == 0 || n == len(frame) || frame[n] == '\n' {
			return badLine
		}
		name, value := frame[:n], frame[n+1:]
		end := 0
		if len(value) == 0 || value[0] != '\n' {
			if end = bytes.IndexByte(value, '\n'); end < 0 {
				return badLine
			}
		}
		frame, value = value[end+1:], value[:end]
		if end > 0 && value[end-1] == '\r' {
			value = value[:end-1]
		}
		if n+1+len(value) > maxLine {
			return badLine
		}
		r.set(name, value)
	}
	if string(r.kind) != "smtpd_access_policy" {
		return badRequest
	}
	if string(r.address) == "unknown" {
		return badUnknown
	}
	if r.client = parseAddr(r.address); !r.client.IsValid() {
		return badClient
	}
	r.port = parsePort(r.clientPort)
	return ""
}

func (r *request) set(name, value []byte) {
	switch string(name) {
	case "request":
		r.kind = value
	case "protocol_state":
		r.state = value
	case "client_address":
		r.address = value
	case "client_port":
		r.clientPort = value
	case "server_port":
		r.serverPort = value
	case "policy_context":
		r.context = value
	case "instance":
		r.instance = value
	case "sasl_method":
		r.method = value
	case "sasl_username":
		r.username = value
	}
}

// parseAddr returns the address that b spells, unmapped and without zone, or
// the zero Addr.
func parseAddr(b []byte) netip.Addr {
	if zone := bytes.IndexByte(b, '%'); zone >= 0 {
		b = b[:zone]
	}
	// netip takes strings only. This one lives as long as the call: an Addr
	// without zone keeps nothing of it, and the error, which would, is dropped.
	addr, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(b), len(b)))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// parsePort returns 0 for what is not a port.
func parsePort(b []byte) uint16 {
	if len(b) > 5 {
		return 0
	}
	n := 0
	for _, digit := range b {
		if digit < '0' || digit > '9' {
			return 0
		}
		n = 10*n + int(digit-'0')
	}
	if n > 65535 {
		return 0
	}
	return uint16(n)
}

// place is which verdicts a request asks for, and for which service. A context
// that is not listed is judged by the server's port. Where that is not told
// either, as before Postfix 3.2, only the operator's verdicts count: mail is
// not stopped by a guess.
func (s *settings) place(r *request) (guard.Scope, string) {
	if rule, ok := s.contexts[string(r.context)]; ok {
		return rule.scope, rule.service
	}
	service := serviceNamed(r.context)
	switch parsePort(r.serverPort) {
	case 0, 25:
		return guard.OperatorVerdicts, service
	default:
		return guard.AllVerdicts, service
	}
}

// serviceNamed is the service that a policy_context names; "smtp" if it names
// none.
func serviceNamed(context []byte) string {
	switch string(context) {
	case "submission":
		return "submission"
	case "submissions":
		return "submissions"
	case "smtps":
		return "smtps"
	}
	return "smtp"
}
