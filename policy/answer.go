package policy

import (
	"context"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// Judge answers about attempts and takes reports. Check never fails: what it
// does not know passes; the attempt is good for the call only. Report neither
// blocks nor keeps anything of the connection; false means that the report was
// dropped, and counted by whoever dropped it.
type Judge interface {
	Check(ctx context.Context, a *guard.Attempt) guard.Verdict
	Report(a guard.Attempt) bool
}

// action is what an answer asks of Postfix.
type action uint8

const (
	dunno action = iota
	sleep
	refuse
	actions // how many there are
)

func (a action) String() string {
	switch a {
	case sleep:
		return "sleep"
	case refuse:
		return "refuse"
	default:
		return "dunno"
	}
}

// maxSleep is the longest delay that is ever asked of Postfix, in seconds:
// each holds an smtpd process.
const maxSleep = 30

// declined is the answer that lets Postfix's other restrictions decide. There
// is none that permits.
const declined = "action=DUNNO\n\n"

// appendAnswer puts a verdict into Postfix's words. A bare LF ends each line
// and an empty line the answer: with CRLF the action would be unknown, without
// the empty line Postfix would wait until its timeout.
func (s *settings) appendAnswer(dst []byte, do action, delay time.Duration) []byte {
	switch do {
	case refuse:
		return append(dst, s.refusal...)
	case sleep:
		seconds := max(1, min(int64(delay/time.Second), maxSleep))
		dst = append(dst, "action=sleep "...)
		dst = strconv.AppendInt(dst, seconds, 10)
		return append(dst, "\n\n"...)
	default:
		return append(dst, declined...)
	}
}

// answer decides about the request that next has read, and leaves the answer in c.out.
func (c *conn) answer(set *settings) action {
	n, bad := c.req.parse(c.buf[c.r:c.w], &c.ending)
	frame := c.buf[c.r : c.r+n]
	c.r += n
	if n > set.maxRequest {
		bad = badOversize
	}
	if bad != "" {
		c.srv.malformed(c, bad, frame)
		c.out = append(c.out[:0], declined...)
		return dunno
	}
	verdict := c.ask(set)
	do := dunno
	switch {
	case verdict.Action == guard.Refuse:
		do = refuse
	case verdict.Action == guard.Tarpit && c.slept.first(&c.req):
		do = sleep
	}
	c.out = set.appendAnswer(c.out[:0], do, verdict.Delay)
	if do != dunno {
		c.logAnswer(do, &verdict)
	}
	return do
}

// ask turns the request into an attempt and asks the judge. A sasl_username
// means that the login has succeeded: it is reported, once for each session,
// and only an operator's verdict can still stop it.
func (c *conn) ask(set *settings) guard.Verdict {
	r, a := &c.req, &c.attempt
	*a = guard.Attempt{Face: guard.Postfix, Client: r.client, Delayed: c.slept.before(r)}
	place := c.placed.of(set, r)
	a.Scope, a.Service = place.scope, place.service
	if len(r.username) > 0 {
		if string(r.username) != c.login {
			c.login = string(r.username)
		}
		a.Login = c.login
		a.Scope = guard.OperatorVerdicts
		if c.reported.first(r) {
			success := *a
			success.Outcome = score.Success
			success.Mechanism = string(r.method)
			c.srv.judge.Report(success)
		}
	}
	a.At = c.now
	c.asked.Store(int64(c.now.Sub(c.srv.born)))
	verdict := c.srv.judge.Check(c.ctx, a)
	c.asked.Store(notAsking)
	return verdict
}

func (c *conn) logAnswer(do action, v *guard.Verdict) {
	entry := c.srv.log.Check(zap.DebugLevel, "answered")
	if entry == nil {
		return
	}
	entry.Write(
		zap.Stringer("action", do),
		zap.String("rule", string(v.Rule)),
		zap.Stringer("client", c.req.client),
		zap.String("service", c.attempt.Service),
		zap.String("context", quote(c.req.context)),
		zap.String("state", quote(c.req.state)),
	)
}

// quote makes what a stranger said fit for a log: cut, and in Go's quotes
// unless it is plain.
func quote(b []byte) string {
	const most = 80
	cut := ""
	if len(b) > most {
		b, cut = b[:most], "…"
	}
	quoted := strconv.QuoteToASCII(string(b))
	if plain := quoted[1 : len(quoted)-1]; plain == string(b) && cut == "" {
		return plain
	}
	return quoted + cut
}
