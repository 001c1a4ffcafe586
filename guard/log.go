package guard

import (
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
)

// announce counts and logs a verdict. What passes is what happens all day: it
// is for those who look for it.
func (g *Guard) announce(v *Verdict, a *Attempt, who *identity) {
	g.metrics.verdict(a.Face, v)
	level := zap.InfoLevel
	if v.Would == Pass {
		level = zap.DebugLevel
	}
	if ce := g.log.Check(level, v.message()); ce != nil {
		ce.Write(append(g.attemptFields(a, who), zap.String("rule", string(v.Rule)), zap.String("reason", v.Reason()), delayField(v))...)
	}
}

// message is what a verdict that does not pass is called in the log.
func (v *Verdict) message() string {
	switch {
	case v.Would == Pass:
		return "login passes"
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

// attemptFields are what a log line says of an attempt. Before AUTH there is no
// account.
func (g *Guard) attemptFields(a *Attempt, who *identity) []zap.Field {
	fields := []zap.Field{zap.Stringer("client", who.addr)}
	if who.account != "" {
		fields = append(fields, zap.String("account", g.names.Shown(who.account)))
	}
	return append(fields, zap.Stringer("via", a.Face), zap.String("service", Printable(a.Service)))
}

func delayField(v *Verdict) zap.Field {
	if v.Delay == 0 {
		return zap.Skip()
	}
	return zap.Duration("delay", v.Delay)
}

// tell logs what a report led to. A right password that was refused, or would
// have been, is what somebody who thinks of enforcing wants to know.
func (g *Guard) tell(v *Verdict, a *Attempt, who *identity) {
	if a.Outcome == score.Success {
		if rule, ok := g.recent.find(g.key(who), g.now()); ok {
			g.metrics.wouldRefuse(rule)
			g.log.Warn("a login succeeded that would have been refused",
				append(g.attemptFields(a, who), zap.String("rule", string(rule)))...)
		}
	}
	if ce := g.log.Check(zap.DebugLevel, "login reported"); ce != nil {
		ce.Write(append(g.attemptFields(a, who), zap.String("outcome", outcomeNames[a.Outcome]),
			zap.String("added", points(v.Standing.Client.Added)), zap.String("points", points(v.Standing.Client.Score)))...)
	}
}

// outcomeNames are the outcomes in logs and metrics.
var outcomeNames = [...]string{"unknown", "success", "failure", "unknown-account", "refused", "trapped", "ignored"}

// OutcomeName is an outcome's name in logs, metrics and events.
func OutcomeName(o score.Outcome) string {
	if int(o) >= len(outcomeNames) {
		return outcomeNames[score.Unknown]
	}
	return outcomeNames[o]
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
