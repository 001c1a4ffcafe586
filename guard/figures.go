package guard

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/saslguard/saslguard/score"
)

// Figures are what the guard has counted since it started, and what it holds now.
type Figures struct {
	Attempts map[string]int64 // reported, by outcome
	Delayed  int64            // verdicts carried out
	Refused  int64
	// WouldDelay and WouldRefuse are verdicts that were only observed.
	WouldDelay, WouldRefuse int64
	Bans                    int64 // automatic ones that this host has made
	Dropped                 int64 // reports that could not be queued
	HeldPostfix             int   // attempts being delayed now
	HeldDovecot             int
	Braked                  bool // automatic bans pause
}

// Figures returns them.
func (g *Guard) Figures() Figures {
	m, now := g.metrics, g.now()
	f := Figures{
		Attempts: map[string]int64{}, Dropped: value(m.dropped), Bans: sum(m.bans),
		HeldPostfix: g.tarpits.count(Postfix, now), HeldDovecot: g.tarpits.count(Dovecot, now), Braked: g.brake.on(now),
	}
	for face := range m.byOutcome {
		for o, c := range m.byOutcome[face] {
			if c != nil {
				f.Attempts[OutcomeName(score.Outcome(o))] += value(c)
			}
		}
		f.WouldDelay += values(m.byVerdict[face][Tarpit][0])
		f.Delayed += values(m.byVerdict[face][Tarpit][1])
		f.WouldRefuse += values(m.byVerdict[face][Refuse][0])
		f.Refused += values(m.byVerdict[face][Refuse][1])
	}
	return f
}

func values(byRule [ruleNumbers]prometheus.Counter) (n int64) {
	for _, c := range byRule {
		if c != nil {
			n += value(c)
		}
	}
	return n
}

// value is what a counter stands at.
func value(c prometheus.Metric) int64 {
	var out dto.Metric
	if c.Write(&out) != nil {
		return 0
	}
	return int64(out.GetCounter().GetValue())
}

// sum is what all counters of a family stand at.
func sum(v *prometheus.CounterVec) (n int64) {
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		v.Collect(all)
	}()
	for c := range all {
		n += value(c)
	}
	return n
}
