package redis

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/store"
)

// meters are the store's metrics.
type meters struct {
	untracked  prometheus.Counter
	amended    prometheus.Counter
	reloaded   prometheus.Counter
	registered store.Metrics
	collectors []prometheus.Collector
}

func newMeters() *meters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &meters{
		untracked: counter("saslguard_redis_untracked_total",
			"New subjects that were not kept because Redis holds max_keys keys."),
		amended: counter("saslguard_redis_amended_total",
			"Round trips made because what one slot decided changed what the other one should do."),
		reloaded: counter("saslguard_redis_scripts_sent_total",
			"Scripts sent to a server that did not know them, after a restart or a failover."),
	}
	m.collectors = []prometheus.Collector{m.untracked, m.amended, m.reloaded}
	return m
}

// register adds the metrics that are read from the census, and registers all.
func (m *meters) register(r prometheus.Registerer, c *census) error {
	gauge := func(name, help string, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("saslguard_redis_keys", "Keys that the Redis servers hold, as last counted.",
		func() float64 { return float64(c.keys.Load()) })
	gauge("saslguard_redis_full", "1 while no new subjects are kept because Redis holds max_keys keys.",
		func() float64 {
			if c.full.Load() {
				return 1
			}
			return 0
		})
	var err error
	m.registered, err = store.Register(r, m.collectors)
	return err
}
