package firewall

import "github.com/prometheus/client_golang/prometheus"

// metrics are the agent's figures. No address is a label.
type metrics struct {
	operations     *prometheus.CounterVec
	errors         prometheus.Counter
	rebuilds       prometheus.Counter
	lost           prometheus.Counter
	sourceErrors   prometheus.Counter
	ended          prometheus.Counter
	spared         *prometheus.CounterVec
	seconds        prometheus.Histogram
	rebuildSeconds prometheus.Histogram
	banned, lifted prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, a *Agent) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "saslguard", Subsystem: "firewall", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "saslguard", Subsystem: "firewall", Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		operations:     prometheus.NewCounterVec(prometheus.CounterOpts(opts("operations_total", "Changes that the firewall has taken.")), []string{"operation"}),
		errors:         counter("errors_total", "What the firewall did not take."),
		rebuilds:       counter("rebuilds_total", "How often everything was brought into force anew, in one step."),
		lost:           counter("lost_total", "How often another program had changed the firewall."),
		sourceErrors:   counter("source_errors_total", "How often the bans could not be followed."),
		ended:          counter("sessions_ended_total", "Open connections of banned clients that were ended."),
		spared:         prometheus.NewCounterVec(prometheus.CounterOpts(opts("spared_total", "Bans that are not enforced by the firewall, each counted once.")), []string{"why"}),
		seconds:        histogram("enforce_seconds", "Time from hearing of a ban, or of its end, to the firewall having taken it.", .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5),
		rebuildSeconds: histogram("rebuild_seconds", "Time to bring everything into force in one step.", .001, .005, .025, .1, .25, .5, 1, 2.5, 10),
	}
	m.banned, m.lifted = m.operations.WithLabelValues("ban"), m.operations.WithLabelValues("unban")
	for _, why := range []Spare{SpareLoopback, SpareOwn, SparePrivate, SpareAllowed, SpareAddress, SpareNAT64, SpareFlushed, SpareFull} {
		m.spared.WithLabelValues(string(why))
	}
	if reg == nil {
		return m, nil
	}
	state := func(state string) prometheus.Collector {
		o := prometheus.GaugeOpts(opts("state", "1 for what the agent does now, else 0."))
		o.ConstLabels = prometheus.Labels{"state": state}
		return prometheus.NewGaugeFunc(o, func() float64 {
			if a.State().State == state {
				return 1
			}
			return 0
		})
	}
	all := []prometheus.Collector{
		m.operations, m.errors, m.rebuilds, m.lost, m.sourceErrors, m.ended, m.spared, m.seconds, m.rebuildSeconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("bans", "Bans in the firewall.")), func() float64 { return float64(a.State().Bans) }),
		state(Starting), state(Running), state(Paused), state(Observing), state(Failing),
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// changed counts a change.
func (m *metrics) changed(removed bool) {
	if removed {
		m.lifted.Inc()
	} else {
		m.banned.Inc()
	}
}
