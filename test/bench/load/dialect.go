package load

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Dialect is how questions and answers look on the wire. It is used by one thread.
type Dialect interface {
	// Append appends a question.
	Append(dst []byte, q *Question) []byte
	// Answer finds the first whole answer in what has come: how long it is, 0 for
	// not whole yet, and what it says.
	Answer(b []byte) (length int, said Saying, err error)
}

// Saying is what an answer says.
type Saying uint8

// The sayings.
const (
	Pass Saying = iota
	Delay
	Refuse
	sayings
)

// Dovecot is auth-policy as Dovecot speaks it, over HTTP.
type Dovecot struct {
	body []byte
	date []byte
	next time.Time // when date is another
}

// Append implements Dialect.
func (d *Dovecot) Append(dst []byte, q *Question) []byte {
	if now := time.Now(); now.After(d.next) {
		d.date = now.UTC().AppendFormat(d.date[:0], http.TimeFormat)
		d.next = now.Truncate(time.Second).Add(time.Second)
	}
	d.body = appendBody(d.body[:0], q)
	command := "allow"
	if q.Command == Report {
		command = "report"
	}
	dst = append(dst, "POST /?command="...)
	dst = append(dst, command...)
	dst = append(dst, " HTTP/1.1\r\nHost: 127.0.0.1:4001\r\nDate: "...)
	dst = append(dst, d.date...)
	dst = append(dst, "\r\nUser-Agent: dovecot/auth-policy-client\r\nConnection: Keep-Alive\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(d.body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, d.body...)
}

// appendBody appends the attributes as Dovecot 2.4 sorts them.
func appendBody(b []byte, q *Question) []byte {
	b = append(b, `{"device_id":""`...)
	if q.Command == Report {
		b = append(b, `,"fail_type":"`...)
		if !q.Success {
			b = append(b, "credentials"...)
		}
		b = append(b, '"')
	}
	b = append(b, `,"login":"`...)
	b = appendLogin(b, q)
	b = append(b, `","mech":"PLAIN","protocol":"imap","pwhash":"`...)
	b = appendHash(b, q.N*7+int(q.Try)+1)
	b = append(b, `","remote":"`...)
	b = q.Kind.Addr(q.N).AppendTo(b)
	b = append(b, `","session_id":"`...)
	b = append(b, "HAONS9Ng2KJ/AAAB"...)
	b = append(b, '"')
	if q.Command == Report {
		b = append(b, `,"success":`...)
		b = strconv.AppendBool(b, q.Success)
		b = append(b, `,"policy_reject":false`...)
	}
	return append(b, `,"tls":false}`...)
}

// appendHash appends 12 bits as Dovecot writes them.
func appendHash(b []byte, n int) []byte {
	const hex = "0123456789abcdef"
	return append(b, '0', hex[n>>8&15], hex[n>>4&15], hex[n&15])
}

func appendLogin(b []byte, q *Question) []byte {
	b = append(b, q.Kind.String()...)
	b = strconv.AppendInt(b, int64(q.N), 10)
	return append(b, "@example.org"...)
}

var (
	endOfHeader = []byte("\r\n\r\n")
	lengthField = []byte("\r\nContent-Length: ")
	statusOK    = []byte("HTTP/1.1 200 ")
	statusField = []byte(`"status":`)
)

// Answer implements Dialect.
func (d *Dovecot) Answer(b []byte) (int, Saying, error) {
	end := bytes.Index(b, endOfHeader)
	if end < 0 {
		return 0, Pass, nil
	}
	at := bytes.Index(b[:end], lengthField)
	if at < 0 || !bytes.HasPrefix(b, statusOK) {
		return 0, Pass, fmt.Errorf("no answer of HTTP that is understood: %q", b)
	}
	size := 0
	for _, c := range b[at+len(lengthField):] {
		if c < '0' || c > '9' {
			break
		}
		size = 10*size + int(c-'0')
	}
	length := end + len(endOfHeader) + size
	if len(b) < length {
		return 0, Pass, nil
	}
	body := b[end+len(endOfHeader) : length]
	at = bytes.Index(body, statusField)
	if at < 0 || at+len(statusField) == len(body) {
		return 0, Pass, fmt.Errorf("no status in %q", body)
	}
	switch body[at+len(statusField)] {
	case '-':
		return length, Refuse, nil
	case '0':
		return length, Pass, nil
	default:
		return length, Delay, nil
	}
}

// Postfix is policy delegation as Postfix 3.7 speaks it when a client connects.
type Postfix struct{}

// Append implements Dialect.
func (Postfix) Append(b []byte, q *Question) []byte {
	b = append(b, "request=smtpd_access_policy\nprotocol_state=CONNECT\nprotocol_name=SMTP\nclient_address="...)
	b = q.Kind.Addr(q.N).AppendTo(b)
	b = append(b, "\nclient_name=unknown\nclient_port="...)
	b = strconv.AppendInt(b, int64(1024+q.N%60000), 10)
	return append(b, "\nreverse_client_name=unknown\nserver_address=127.0.0.1\nserver_port=587\nhelo_name=\nsender=\nrecipient=\n"+
		"recipient_count=0\nqueue_id=\ninstance=\nsize=0\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n"+
		"ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\n"+
		"encryption_keysize=0\npolicy_context=submission\n\n"...)
}

var (
	endOfAction = []byte("\n\n")
	dunno       = []byte("action=DUNNO")
	dunnoToo    = []byte("action=dunno")
	sleep       = []byte("action=sleep ")
	action      = []byte("action=")
)

// Answer implements Dialect.
func (Postfix) Answer(b []byte) (int, Saying, error) {
	end := bytes.Index(b, endOfAction)
	switch length := end + len(endOfAction); {
	case end < 0:
		return 0, Pass, nil
	case bytes.HasPrefix(b, dunno), bytes.HasPrefix(b, dunnoToo):
		return length, Pass, nil
	case bytes.HasPrefix(b, sleep):
		return length, Delay, nil
	case bytes.HasPrefix(b, action):
		return length, Refuse, nil
	default:
		return 0, Pass, fmt.Errorf("no action: %q", b)
	}
}

// Redis is a PING, the least that Redis can be asked for.
type Redis struct{}

// Append implements Dialect.
func (Redis) Append(b []byte, _ *Question) []byte { return append(b, "*1\r\n$4\r\nPING\r\n"...) }

// Answer implements Dialect.
func (Redis) Answer(b []byte) (int, Saying, error) {
	const pong = "+PONG\r\n"
	switch {
	case len(b) < len(pong):
		return 0, Pass, nil
	case string(b[:len(pong)]) != pong:
		return 0, Pass, fmt.Errorf("no PONG: %q", b)
	default:
		return len(pong), Pass, nil
	}
}
