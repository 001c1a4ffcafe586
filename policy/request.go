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

// whole tells whether there is a whole request at the start of b, its final empty line
// included. Lines that begin before scanned were looked at already; the new scanned is
// the beginning of the line that is not whole.
func whole(b []byte, scanned int) (is bool, newScanned int) {
	// Postfix sends one and waits for its answer, so that nearly always the end of one
	// is the end of what there is.
	if n := len(b); n > 1 && b[n-1] == '\n' && b[n-2] == '\n' {
		return true, 0
	}
	for {
		i := bytes.IndexByte(b[scanned:], '\n')
		if i < 0 {
			return false, scanned
		}
		line := b[scanned : scanned+i]
		scanned += i + 1
		if len(line) == 0 || string(line) == "\r" {
			return true, 0
		}
	}
}

// parse reads the attributes of the whole request with which b begins. It returns its
// length, its final empty line included, and "" or why it is malformed. A line is split
// at its first "=", its value is taken as it is, attributes that are not known are
// skipped, and of one that comes twice the last counts: Postfix sends none twice and
// lets no line feed into a value. One CR before a line feed belongs to the line's end.
// What is known of the last request's ending is used, and kept for the next.
func (r *request) parse(b []byte, known *ending) (n int, bad string) {
	*r = request{}
	same, client := known.begins(b), 0
	for {
		if n > 0 && n == same {
			known.complete(r)
			n, client = len(b), len(b)
			break
		}
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			return len(b), badLine // which whole rules out
		}
		line := b[n : n+end]
		n += end + 1
		if end > 0 && line[end-1] == '\r' {
			line = line[:end-1]
		}
		if len(line) == 0 {
			break
		}
		switch r.take(line) {
		case ofClient:
			client = n
		case noAttribute:
			bad = badLine
		}
	}
	if bad == "" {
		if client < n {
			known.learn(b[client:n])
		}
		bad = r.read()
	}
	return n, bad
}

// What a line of a request is.
type lineKind uint8

const (
	attribute   lineKind = iota
	ofClient             // an attribute that is another for each client
	noAttribute          // not even that
)

// take takes a line over, and tells what it is.
func (r *request) take(line []byte) lineKind {
	n := bytes.IndexByte(line, '=')
	if n < 1 || len(line) > maxLine {
		return noAttribute
	}
	value := line[n+1:]
	switch string(line[:n]) {
	case "request":
		r.kind = value
	case "protocol_state":
		r.state = value
	case "client_address":
		r.address = value
		return ofClient
	case "client_port":
		r.clientPort = value
		return ofClient
	case "client_name", "reverse_client_name":
		return ofClient
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
	return attribute
}

// read reads the values that are more than text.
func (r *request) read() (bad string) {
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
func (s *settings) place(r *request) contextRule {
	if rule, ok := s.contexts[string(r.context)]; ok {
		return rule
	}
	service := serviceNamed(r.context)
	switch parsePort(r.serverPort) {
	case 0, 25:
		return contextRule{guard.OperatorVerdicts, service}
	default:
		return contextRule{guard.AllVerdicts, service}
	}
}

// placed is the place of the last request of a connection. An smtpd process has one
// context and one port, and asks for the same place over and over.
type placed struct {
	by            *settings
	context, port []byte
	rule          contextRule
}

// of is the place of a request.
func (p *placed) of(s *settings, r *request) contextRule {
	if p.by != s || !bytes.Equal(p.context, r.context) || !bytes.Equal(p.port, r.serverPort) {
		p.by, p.rule = s, s.place(r)
		p.context, p.port = append(p.context[:0], r.context...), append(p.port[:0], r.serverPort...)
	}
	return p.rule
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
