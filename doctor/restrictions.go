package doctor

import (
	"errors"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a list of restrictions, which restriction classes can make grow
// without end.
const (
	maxRestrictions = 2_000
	maxClassDepth   = 8
)

var errList = errors.New("braces do not match")

// A restriction is an element of a list such as smtpd_client_restrictions.
// Arguments of restrictions (the table of check_client_access) stand as elements
// of their own: nothing here needs to know which restriction takes one.
type restriction struct {
	word     string
	question *question // of check_policy_service
}

// A question is a check_policy_service.
type question struct {
	network, address string // tcp, 127.0.0.1:10035; unix, private/saslguard
	timeout          string // as Postfix has it: "3s"; "": smtpd_policy_service_timeout
	tryLimit         string
	defaultAction    string
	context          string
}

// String is the service as master.cf has it.
func (q *question) String() string {
	if q.network == "unix" {
		return "unix:" + q.address
	}
	return "inet:" + q.address
}

// restrictions reads a list, with the classes in it replaced by what they are.
func restrictions(list string, classes map[string]string) ([]restriction, error) {
	var all []restriction
	err := appendRestrictions(&all, list, classes, 0)
	return all, err
}

func appendRestrictions(all *[]restriction, list string, classes map[string]string, depth int) error {
	words, err := elements(list)
	if err != nil {
		return err
	}
	for i := 0; i < len(words); i++ {
		if len(*all) >= maxRestrictions || depth > maxClassDepth {
			return errors.New("it is too long, or its classes refer to each other")
		}
		word := words[i]
		if value, ok := classes[word]; ok {
			if err := appendRestrictions(all, value, classes, depth+1); err != nil {
				return err
			}
			continue
		}
		r := restriction{word: strings.ToLower(word)}
		if r.word == "check_policy_service" && i+1 < len(words) {
			i++
			if r.question, err = parseQuestion(words[i]); err != nil {
				return err
			}
		}
		*all = append(*all, r)
	}
	return nil
}

// elements splits a list at commas and white space, but not within braces,
// which stay around what they hold.
func elements(list string) ([]string, error) {
	var words []string
	begin, depth := -1, 0
	for i := 0; i < len(list); i++ {
		separator := strings.IndexByte(" \t,", list[i]) >= 0
		switch {
		case list[i] == '{':
			depth++
		case list[i] == '}':
			depth--
		}
		if depth < 0 {
			return nil, errList
		}
		switch {
		case separator && depth == 0:
			if begin >= 0 {
				words = append(words, list[begin:i])
			}
			begin = -1
		case begin < 0:
			begin = i
		}
	}
	if depth != 0 {
		return nil, errList
	}
	if begin >= 0 {
		words = append(words, list[begin:])
	}
	return words, nil
}

// parseQuestion reads "inet:host:port" or "{ inet:host:port, timeout=3s, … }".
// Attributes may be in braces themselves, with spaces around their "=".
func parseQuestion(word string) (*question, error) {
	parts := []string{word}
	if inner, ok := unbrace(word); ok {
		var err error
		if parts, err = elements(inner); err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 {
		return nil, errors.New("check_policy_service names no service")
	}
	q := new(question)
	switch kind, address, ok := strings.Cut(parts[0], ":"); {
	case ok && kind == "inet":
		q.network, q.address = "tcp", address
		if !strings.Contains(address, ":") {
			q.address = net.JoinHostPort("localhost", address) // Postfix takes a bare port
		}
	case ok && kind == "unix":
		q.network, q.address = "unix", address
	case ok:
		q.network, q.address = "tcp", parts[0]
	default:
		return nil, errors.New("check_policy_service names neither inet:host:port nor unix:path")
	}
	for _, p := range parts[1:] {
		if inner, ok := unbrace(p); ok {
			p = inner
		}
		name, value, _ := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "timeout":
			q.timeout = value
		case "try_limit":
			q.tryLimit = value
		case "default_action":
			q.defaultAction = value
		case "policy_context":
			q.context = value
		}
	}
	return q, nil
}

func unbrace(s string) (string, bool) {
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return "", false
	}
	return strings.TrimSpace(s[1 : len(s)-1]), true
}

// postfixTime reads a time as Postfix has it: a number and s, m, h, d or w;
// without a letter it is seconds.
func postfixTime(s string) (time.Duration, bool) {
	unit := time.Second
	if i := len(s) - 1; i > 0 {
		if j := strings.IndexByte("smhdw", s[i]); j >= 0 {
			unit = []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[j]
			s = s[:i]
		}
	}
	n, err := strconv.ParseUint(s, 10, 24)
	return time.Duration(n) * unit, err == nil
}

// whole reads a number; a value that is none, such as an expression of
// Postfix's, is not known.
func whole(s string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	return int(n), err == nil
}

// rejects is the first restriction that refuses whoever comes to it.
func rejects(list []restriction) (int, bool) {
	i := slices.IndexFunc(list, func(r restriction) bool {
		return r.word == "reject" || r.word == "defer"
	})
	return i, i >= 0
}

// clean is the path of a socket, for comparing.
func clean(p string) string { return path.Clean("/" + p) }
