package policy

import (
	"bytes"
	"net/netip"
)

// once remembers for which mail something was done last on a connection, so
// that it is done once: a client is not delayed again at EHLO, MAIL and RCPT,
// and a login is not reported with each of its mails. An smtpd process handles
// one SMTP session after the other, and its questions all come over the same
// connection, so one mail is enough to remember.
type once struct {
	done     bool
	client   netip.Addr
	port     uint16
	instance []byte
	username []byte
}

// before tells whether it was done for the mail of the request.
func (o *once) before(r *request) bool { return o.done && o.same(r) }

// first tells whether the request belongs to another mail than the last one
// did for which first was called, and remembers it.
func (o *once) first(r *request) bool {
	if o.before(r) {
		return false
	}
	o.done, o.client, o.port = true, r.client, r.port
	o.instance = append(o.instance[:0], r.instance...)
	o.username = append(o.username[:0], r.username...)
	return true
}

func (o *once) same(r *request) bool {
	if o.client != r.client || o.port != r.port || !bytes.Equal(o.username, r.username) {
		return false
	}
	if r.port != 0 {
		return true // the SMTP session: instance is empty before RCPT
	}
	// Postfix before 3.0 tells no port. There CONNECT begins a session, and what
	// was done before a mail had an instance was done for its session.
	return string(r.state) != "CONNECT" && (len(o.instance) == 0 || bytes.Equal(o.instance, r.instance))
}
