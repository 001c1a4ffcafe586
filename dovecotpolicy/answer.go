package dovecotpolicy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// checkWithin is how long a question may be considered. Dovecot waits for 2 s
// and then lets the login through.
const checkWithin = time.Second

// Judge decides about attempts. *guard.Guard is one.
type Judge interface {
	// Check answers whether an attempt may be made. It never fails and keeps
	// nothing of the attempt.
	Check(ctx context.Context, a *guard.Attempt) guard.Verdict
	// Report takes the outcome of an attempt, without blocking; false: dropped.
	Report(a guard.Attempt) bool
}

// request is what a request says, HTTP aside. It is valid as long as the
// connection's buffers are: until the answer is sent.
type request struct {
	command command
	date    []byte // its Date header, "" without one
	body    []byte
}

// reply is the answer to a request. Its body may be shared and is never
// changed.
type reply struct {
	code   int
	body   []byte
	reason malformed
	err    error // why it could not be read
}

// answerer turns requests into replies.
type answerer struct {
	judge   Judge
	metrics *metrics
	pass    []byte
	delays  [31][]byte // by seconds; longer ones are made when needed
}

func newAnswerer(judge Judge, m *metrics) *answerer {
	a := &answerer{judge: judge, metrics: m, pass: appendStatus(nil, 0)}
	for seconds := range a.delays {
		a.delays[seconds] = appendStatus(nil, seconds)
	}
	return a
}

// appendStatus appends the answer that goes on, after seconds. Dovecot 2.3 takes
// status and msg at any depth, and the last of each: so these two and no more.
func appendStatus(out []byte, seconds int) []byte {
	out = append(out, `{"status":`...)
	out = strconv.AppendInt(out, int64(seconds), 10)
	return append(out, `,"msg":""}`...)
}

// answer answers a request that was made of a client with the right
// credentials.
func (s *answerer) answer(set *settings, r *request, now time.Time) reply {
	f, err := parse(r.body)
	if err != nil {
		return unreadable(err)
	}
	if r.command == report && !f.told {
		return unreadable(&parseError{reason: noSuccess, text: "a report must say success", at: len(r.body)})
	}
	if r.command == allow {
		return s.allow(set, &f, stale(r.date, now, set.staleAfter))
	}
	return s.report(set, &f, reportedAt(r.date, now))
}

// question is what a Check is given, in one piece since both escape to it.
type question struct {
	attempt guard.Attempt
	ctx     deadline
}

// allow answers a question.
func (s *answerer) allow(set *settings, f *fields, stale bool) reply {
	if len(f.login) == 0 {
		return s.skip(allow, noLogin)
	}
	q := question{attempt: f.attempt(set)}
	if !q.attempt.Client.IsValid() {
		return s.skip(allow, clientSkip(f))
	}
	q.attempt.Stale = stale
	q.ctx.at = time.Now().Add(checkWithin)
	defer q.ctx.end()
	verdict := s.judge.Check(&q.ctx, &q.attempt)
	switch verdict.Action {
	case guard.Refuse:
		return s.reply(allow, refused, set.refuse)
	case guard.Tarpit:
		return s.reply(allow, tarpitted, s.delay(verdict.Delay))
	default:
		return s.reply(allow, passed, s.pass)
	}
}

// report takes what became of an attempt.
func (s *answerer) report(set *settings, f *fields, at time.Time) reply {
	a := f.attempt(set)
	if !a.Client.IsValid() {
		return s.skip(report, clientSkip(f))
	}
	a.At = at
	a.Outcome = f.outcome()
	if a.Login == "" {
		// A bad or empty user name, or a PLAIN that is none: there is no account,
		// but it was this client who tried.
		if a.Outcome == score.UnknownAccount {
			a.Outcome = score.Failure
		}
		if a.Outcome != score.Failure {
			return s.skip(report, noLogin)
		}
	}
	if !s.judge.Report(a) {
		return s.reply(report, dropped, s.pass)
	}
	return s.reply(report, taken, s.pass)
}

func (s *answerer) reply(c command, a answered, body []byte) reply {
	s.metrics.requests[c][a].Inc()
	return reply{code: http.StatusOK, body: body}
}

func (s *answerer) skip(c command, why skip) reply {
	s.metrics.skipped[why].Inc()
	return s.reply(c, skipped, s.pass)
}

// delay is the answer that delays for whole seconds, at least one.
func (s *answerer) delay(d time.Duration) []byte {
	seconds := max(1, int(d/time.Second))
	if seconds < len(s.delays) {
		return s.delays[seconds]
	}
	return appendStatus(nil, seconds)
}

// clientSkip says why there is no client address.
func clientSkip(f *fields) skip {
	if len(f.remote) == 0 {
		return noClient
	}
	return badClient
}

// unreadable is the reply to a body that could not be read: 400 where it is no
// JSON, 422 where it is something else than Dovecot sends.
func unreadable(err error) reply {
	r := reply{code: http.StatusBadRequest, reason: badJSON, err: err}
	var bad *parseError
	if errors.As(err, &bad) {
		r.reason = bad.reason
	}
	if r.reason != badJSON {
		r.code = http.StatusUnprocessableEntity
	}
	r.body = errorBody(err.Error())
	return r
}

// errorBody is the body of every answer that is not 200. The text needs no
// escapes.
func errorBody(text string) []byte { return []byte(`{"error":"` + text + `"}`) }

// commandOf finds the command in the target of a request, which may have any
// path, any other arguments, and a scheme and host before them. Dovecot appends
// ?command=… to its URL, or command=… where that ends in &.
func commandOf(target []byte) (command, bool) {
	const name = "command="
	at := bytes.LastIndex(target, []byte(name))
	if at < 1 || (target[at-1] != '?' && target[at-1] != '&') {
		return 0, false
	}
	value := target[at+len(name):]
	if end := bytes.IndexAny(value, "&#"); end >= 0 {
		value = value[:end]
	}
	switch string(value) {
	case "allow":
		return allow, true
	case "report":
		return report, true
	default:
		return 0, false
	}
}
