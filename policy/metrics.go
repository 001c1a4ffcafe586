package policy

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's. The children of labels are looked up once, so
// that counting a request allocates nothing. No label is what a client said.
type metrics struct {
	requests    [actions]prometheus.Counter
	malformed   map[string]prometheus.Counter
	connections prometheus.Gauge
	rejected    prometheus.Counter
	strangers   prometheus.Counter
	panics      prometheus.Counter
	seconds     prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "saslguard_postfix_requests_total",
		Help: "Policy requests of Postfix, by the action they were answered with.",
	}, []string{"action"})
	malformed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "saslguard_postfix_malformed_total",
		Help: "Policy requests that could not be judged, by reason.",
	}, []string{"reason"})
	m := &metrics{
		malformed: make(map[string]prometheus.Counter),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "saslguard_postfix_connections",
			Help: "Open connections of Postfix's smtpd processes.",
		}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_postfix_rejected_connections_total",
			Help: "Connections closed at once because max_connections were open.",
		}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_postfix_strangers_total",
			Help: "Connections closed at once because nobody may ask from their addresses.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_postfix_panics_total",
			Help: "Connections closed because handling a request panicked.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "saslguard_postfix_answer_seconds",
			Help:    "Time from a whole request to its written answer.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
		}),
	}
	for do := range actions {
		m.requests[do] = requests.WithLabelValues(do.String())
	}
	for _, reason := range []string{badOversize, badLine, badRequest, badClient, badUnknown, badTruncated, badSlow} {
		m.malformed[reason] = malformed.WithLabelValues(reason)
	}
	if registry == nil {
		return m, nil
	}
	var failed error
	for _, collector := range []prometheus.Collector{requests, malformed, m.connections, m.rejected, m.strangers, m.panics, m.seconds} {
		failed = errors.Join(failed, registry.Register(collector))
	}
	return m, failed
}

// answered counts a request and the time it took.
func (m *metrics) answered(do action, took time.Duration) {
	m.requests[do].Inc()
	m.seconds.Observe(took.Seconds())
}
