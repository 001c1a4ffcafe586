package dovecotpolicy

import "strconv"

// fields are the attributes of a request that are read here. They are parts of
// the body, valid as long as it is. Everything else that a request carries
// (device_id and tls, which Dovecot always sends, and what an operator added)
// is skipped, whatever its type: a question must not go unanswered for the sake
// of an attribute that nobody needs.
type fields struct {
	login, hash, remote, protocol, session []byte
	failType, mechanism                    []byte
	told                                   bool // success was among them
	success                                bool
	policyReject                           bool
}

// parseError says why a body could not be read. Its text is made here, never
// of what was sent, and is fit for JSON and for logs.
type parseError struct {
	reason malformed
	text   string
	at     int // byte of the body, from 0
}

// Error says what was wrong and where.
func (e *parseError) Error() string { return e.text + " at byte " + strconv.Itoa(e.at) }

// parse reads the body of a request: one JSON object and nothing after it. An
// attribute that occurs twice has its last value, as in Dovecot's own parser;
// to reject it would let the login through. An attribute that is read here and
// has another type than Dovecot gives it is an error.
func parse(body []byte) (fields, error) {
	var f fields
	s := scanner{body: body}
	if err := s.take('{', "want an object"); err != nil {
		return f, err
	}
	if s.peek() == '}' {
		s.at++
		return f, s.end()
	}
	for {
		if err := f.attribute(&s); err != nil {
			return f, err
		}
		if s.peek() == '}' {
			s.at++
			return f, s.end()
		}
		if err := s.take(',', "want a comma or the end of the object"); err != nil {
			return f, err
		}
	}
}

func (s *scanner) end() error {
	if s.peek(); s.at < len(s.body) {
		return s.fail("data after the object")
	}
	return nil
}

// attribute reads a name and its value.
func (f *fields) attribute(s *scanner) error {
	name, err := s.text()
	if err != nil {
		return err
	}
	if err := s.take(':', "want a colon"); err != nil {
		return err
	}
	switch string(name) {
	case "login":
		return s.string(&f.login, "login must be a string")
	case "pwhash":
		return s.string(&f.hash, "pwhash must be a string")
	case "remote":
		return s.string(&f.remote, "remote must be a string")
	case "protocol":
		return s.string(&f.protocol, "protocol must be a string")
	case "session_id":
		return s.string(&f.session, "session_id must be a string")
	case "fail_type":
		return s.string(&f.failType, "fail_type must be a string")
	case "mech":
		return s.string(&f.mechanism, "mech must be a string")
	case "success":
		f.told = true
		return s.bool(&f.success, "success must be true or false")
	case "policy_reject":
		return s.bool(&f.policyReject, "policy_reject must be true or false")
	default:
		return s.skip(1)
	}
}

// string reads a value that has to be a string.
func (s *scanner) string(to *[]byte, otherwise string) error {
	if s.peek() != '"' {
		return s.wrongType(otherwise)
	}
	text, err := s.text()
	*to = text
	return err
}

// bool reads a value that has to be true or false.
func (s *scanner) bool(to *bool, otherwise string) error {
	switch s.peek() {
	case 't':
		*to = true
		return s.word("true")
	case 'f':
		*to = false
		return s.word("false")
	default:
		return s.wrongType(otherwise)
	}
}

// wrongType tells a value of another type from one that is no JSON.
func (s *scanner) wrongType(text string) error {
	at := s.at
	if err := s.skip(1); err != nil {
		return err
	}
	return &parseError{reason: badType, text: text, at: at}
}
