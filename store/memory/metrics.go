package memory

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/store"
)

// meters are the store's metrics.
type meters struct {
	writeErrors prometheus.Counter
	dropped     prometheus.Counter
	unreadable  prometheus.Counter
	flush       prometheus.Histogram
	registered  store.Metrics
	collectors  []prometheus.Collector
}

func newMeters() *meters {
	m := &meters{
		writeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_store_write_errors_total",
			Help: "Transactions of the state file that failed.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_store_dropped_total",
			Help: "Familiar pairs and right passwords that were not remembered because the disk could not follow.",
		}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_store_unreadable_records_total",
			Help: "Records of the state file that were skipped when it was opened.",
		}),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "saslguard_store_flush_duration_seconds",
			Help:    "Time to write the changed scores to the state file.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
	m.collectors = []prometheus.Collector{m.writeErrors, m.dropped, m.unreadable, m.flush}
	return m
}

// register adds the metrics that are read from the store, and registers all.
func (m *meters) register(r prometheus.Registerer, s *Store) error {
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	counter := func(name, help string, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
	gauge("saslguard_store_subjects", "Clients, networks, accounts and pairs that have a score.", nil,
		func() float64 { return s.sum(func(p *shard) uint64 { return uint64(p.heads.live()) }) })
	counter("saslguard_store_evictions_total", "Subjects that were forgotten for more valuable ones.",
		func() float64 { return s.sum(func(p *shard) uint64 { return p.evicted }) })
	counter("saslguard_store_untracked_total", "New subjects that were not kept because all others were more valuable.",
		func() float64 { return s.sum(func(p *shard) uint64 { return p.lost }) })
	gauge("saslguard_store_familiar_pairs", "Pairs of network and account that are familiar.", nil,
		func() float64 { return float64(s.people.pairs.Load()) })
	for kind, name := range map[store.EntryKind]string{
		store.OperatorBan: "operator_ban", store.Allow: "allow", store.AutomaticBan: "automatic_ban",
	} {
		gauge("saslguard_store_ledger_entries", "Entries of the ledger.", prometheus.Labels{"kind": name},
			func() float64 { return float64(s.ledger.count(kind)) })
	}
	var err error
	m.registered, err = store.Register(r, m.collectors)
	return err
}

// sum adds up a number of all shards.
func (s *Store) sum(f func(*shard) uint64) float64 {
	var n uint64
	for i := range s.shards {
		p := &s.shards[i]
		p.mu.Lock()
		n += f(p)
		p.mu.Unlock()
	}
	return float64(n)
}
