package failover

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/store"
)

// meters are the store's metrics.
type meters struct {
	dropped    prometheus.Counter
	errors     prometheus.Counter
	seconds    prometheus.Histogram
	registered store.Metrics
	collectors []prometheus.Collector
}

func newMeters() *meters {
	return &meters{
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_store_journal_dropped_total",
			Help: "Attempts that were not handed over to Redis because the journal was full or Redis did not take them.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_store_remote_errors_total",
			Help: "Calls of Redis that failed or got no answer in time.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "saslguard_store_remote_seconds",
			Help:    "Time that calls waited for Redis, answered or not.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .15, .2},
		}),
	}
}

// register adds the metrics that are read from the store, and registers all.
func (m *meters) register(r prometheus.Registerer, s *Store) error {
	m.collectors = []prometheus.Collector{
		m.dropped, m.errors, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "saslguard_store_remote_up",
			Help: "1 while Redis is asked, 0 while this host decides by its own scores.",
		}, func() float64 {
			if s.breaker.isUp() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "saslguard_store_journal_length",
			Help: "Attempts that wait to be handed over to Redis.",
		}, func() float64 { return float64(s.journal.len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "saslguard_store_clock_skew_seconds",
			Help: "By how much Redis' clock is ahead of this host's, as measured last.",
		}, func() float64 { return time.Duration(s.skew.measured.Load()).Seconds() }),
	}
	var err error
	m.registered, err = store.Register(r, m.collectors)
	return err
}
