package guard

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/score"
)

// metrics are the guard's figures. Addresses and logins are never labels: an
// attacker invents as many as he likes.
type metrics struct {
	attempts    *prometheus.CounterVec
	origins     *prometheus.CounterVec
	verdicts    *prometheus.CounterVec
	bans        *prometheus.CounterVec
	sparedBans  *prometheus.CounterVec
	observed    *prometheus.CounterVec
	dropped     prometheus.Counter
	storeErrors prometheus.Counter
	banErrors   prometheus.Counter
	tarpitsFull prometheus.Counter

	unread bool // nobody looks at them: what happens all day is not counted

	// The children of every label that Check can meet, so that counting
	// allocates nothing.
	byVerdict [3][3][2][ruleNumbers]prometheus.Counter
	byOutcome [3][score.Ignored + 1]prometheus.Counter
	byOrigin  [3][2]prometheus.Counter // private, public
}

func newMetrics(reg prometheus.Registerer, g *Guard) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		attempts:    vec("saslguard_attempts_total", "Login attempts by face and outcome.", "face", "outcome"),
		origins:     vec("saslguard_attempts_by_origin_total", "Login attempts by face and whether the client's address is public; private alone is a proxy or a NAT that hides the clients.", "face", "origin"),
		verdicts:    vec("saslguard_verdicts_total", "Verdicts by face, what enforce mode does, rule, and whether it was done.", "face", "action", "rule", "enforced"),
		bans:        vec("saslguard_bans_total", "Automatic bans made by this host.", "rule", "observed"),
		sparedBans:  vec("saslguard_bans_spared_total", "Clients that reached the ban score and were not banned.", "why"),
		observed:    vec("saslguard_would_refuse_successes_total", "Logins that succeeded although they were refused, or would have been in enforce mode.", "rule"),
		dropped:     counter("saslguard_reports_dropped_total", "Reports dropped because the queue was full."),
		storeErrors: counter("saslguard_guard_store_errors_total", "Questions and batches of reports that the store did not answer."),
		banErrors:   counter("saslguard_ban_errors_total", "Bans that could not be written."),
		tarpitsFull: counter("saslguard_tarpits_full_total", "Attempts that passed undelayed because as many are held as may be."),
	}
	m.prepare()
	m.prepareRare()
	if reg == nil {
		m.unread = true
		return m, nil
	}
	gauge := func(name, help string, f func() float64, labels prometheus.Labels) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f)
	}
	collectors := []prometheus.Collector{
		m.attempts, m.origins, m.verdicts, m.bans, m.sparedBans, m.observed, m.dropped, m.storeErrors, m.banErrors, m.tarpitsFull,
		gauge("saslguard_report_queue_length", "Reports waiting to be counted.", func() float64 { return float64(len(g.queue)) }, nil),
		gauge("saslguard_enforcing", "1 in mode enforce, 0 in mode observe.", func() float64 {
			if g.Rules().enforce {
				return 1
			}
			return 0
		}, nil),
		gauge("saslguard_brake_on", "1 while automatic bans pause.", func() float64 {
			if g.brake.on(g.now()) {
				return 1
			}
			return 0
		}, nil),
	}
	for _, f := range []Face{Dovecot, Postfix} {
		collectors = append(collectors, gauge("saslguard_tarpits_held", "Attempts being delayed.",
			func() float64 { return float64(g.tarpits.count(f, g.now())) }, prometheus.Labels{"face": f.String()}))
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// prepare makes the children of the labels.
func (m *metrics) prepare() {
	rules := []Rule{
		RuleNone, RuleUnguarded, RuleOperatorBan, RuleAccountBlock, RuleAllowed, RuleBan, RuleClientScore,
		RulePairScore, RuleNetworkScore, RuleAccountScore, RuleInFlight, RuleStoreFailing,
	}
	for f := Dovecot; f <= Log; f++ {
		m.byOrigin[f] = [2]prometheus.Counter{m.origins.WithLabelValues(f.String(), "private"), m.origins.WithLabelValues(f.String(), "public")}
		for o, name := range outcomeNames {
			if score.Outcome(o) == score.Unknown || score.Outcome(o) == score.Trapped {
				continue // a question, and what the guard makes of a failure
			}
			m.byOutcome[f][o] = m.attempts.WithLabelValues(f.String(), name)
		}
		for action := Pass; action <= Refuse; action++ {
			for done, enforced := range [...]string{"false", "true"} {
				byRule := &m.byVerdict[f][action][done]
				for _, r := range rules {
					if !possible(action, r) || action == Pass && done == 0 {
						continue
					}
					byRule[r.Number()] = m.verdicts.WithLabelValues(f.String(), action.String(), label(r), enforced)
				}
			}
		}
	}
}

// prepareRare makes the children of what happens seldom, so that their series exist
// before it does: a rate of what has just begun to exist is nothing.
func (m *metrics) prepareRare() {
	for _, r := range []Rule{RuleClientScore, RuleNetworkScore, RuleTrap} {
		m.bans.WithLabelValues(string(r), "false")
		m.bans.WithLabelValues(string(r), "true")
	}
	for _, kind := range []string{sparedPrivate, sparedOwn, sparedOffice, sparedBrake} {
		m.sparedBans.WithLabelValues(kind)
	}
	for _, r := range []Rule{
		RuleOperatorBan, RuleAccountBlock, RuleBan, RuleClientScore, RulePairScore, RuleNetworkScore, RuleAccountScore, RuleInFlight,
	} {
		m.observed.WithLabelValues(string(r))
	}
}

// possible tells whether a rule leads to an action, which keeps series that
// could never count out of the metrics.
func possible(action Action, r Rule) bool {
	switch r {
	case RuleNone, RuleUnguarded, RuleAllowed, RuleStoreFailing:
		return action == Pass
	case RuleOperatorBan, RuleAccountBlock, RuleBan, RuleInFlight:
		return action == Refuse
	}
	return action != Pass
}

func label(r Rule) string {
	if r == RuleNone {
		return "none"
	}
	return string(r)
}

func (m *metrics) verdict(f Face, v *Verdict) {
	if m.unread {
		return
	}
	done := 0
	if v.Action == v.Would {
		done = 1
	}
	if c := m.byVerdict[f][v.Would][done][v.Rule.Number()]; c != nil {
		c.Inc()
	}
}

func (m *metrics) attempt(a *Attempt) {
	if m.unread {
		return
	}
	if c := m.byOutcome[a.Face][a.Outcome]; c != nil {
		c.Add(float64(max(a.Count, 1)))
	}
	if origin := 0; a.Client.IsValid() {
		if public(clientAddr(a.Client)) {
			origin = 1
		}
		m.byOrigin[a.Face][origin].Add(float64(max(a.Count, 1)))
	}
}

func (m *metrics) banned(r Rule, observed bool) {
	o := "false"
	if observed {
		o = "true"
	}
	m.bans.WithLabelValues(string(r), o).Inc()
}

func (m *metrics) wouldRefuse(r Rule) { m.observed.WithLabelValues(string(r)).Inc() }
