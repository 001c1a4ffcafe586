package guard

import (
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
)

// announce counts and logs a verdict. What passes is not logged: it is what
// happens all day.
func (g *Guard) announce(v *Verdict, a *Attempt, who *identity) {
	g.metrics.verdict(a.Face, v)
	if v.Would == Pass {
		return
	}
	if ce := g.log.Check(zap.InfoLevel, v.message()); ce != nil {
		ce.Write(zap.Stringer("client", who.addr), zap.String("account", Printable(who.account)),
			zap.Stringer("face", a.Face), zap.String("service", Printable(a.Service)),
			zap.String("rule", string(v.Rule)), zap.String("reason", v.Reason()), zap.Duration("delay", v.Delay))
	}
}

// message is what a verdict that does not pass is called in the log.
func (v *Verdict) message() string {
	switch {
	case v.Action == Refuse:
		return "login refused"
	case v.Action == Tarpit:
		return "login delayed"
	case v.Would == Refuse:
		return "login would be refused"
	case v.rules.enforce:
		return "login not delayed: as many are held as may be"
	}
	return "login would be delayed"
}

// complain logs an error. The logger is sampled, so that a store that is down
// does not fill the disk.
func (g *Guard) complain(message string, err error) {
	g.log.Error(message, zap.Error(err))
}

// Printable returns a hostile string as it may stand in a log line or a
// message: printable ASCII, everything else escaped, and cut at 80 bytes.
func Printable(s string) string {
	const longest = 80
	plain := len(s) <= longest
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] <= '~' && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return s
	}
	cut := s
	if len(cut) > longest {
		cut = cut[:longest]
	}
	q := strconv.QuoteToASCII(cut)
	q = strings.TrimSuffix(strings.TrimPrefix(q, `"`), `"`)
	if len(cut) < len(s) {
		q += "…+" + strconv.Itoa(len(s)-len(cut))
	}
	return q
}

// points writes an amount of points with one decimal.
func points(m score.Milli) string {
	return strconv.FormatFloat(float64(m)/float64(score.Point), 'f', 1, 64)
}
