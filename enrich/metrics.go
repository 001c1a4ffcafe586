package enrich

import "github.com/prometheus/client_golang/prometheus"

// metrics are the figures of what is looked up.
type metrics struct {
	whois  *prometheus.CounterVec
	failed prometheus.Counter
}

// What became of a question to a registry.
const (
	resultCached   = "cached"   // it was known
	resultAnswered = "answered" // it was asked
	resultFailed   = "failed"   // no answer, or a wrong one
	resultLimited  = "limited"  // not asked: too many questions
)

func newMetrics(reg prometheus.Registerer, e *Enricher) (*metrics, error) {
	m := &metrics{
		whois: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saslguard_enrich_whois_total", Help: "Questions about whose an address is, by result.",
		}, []string{"result"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_enrich_database_errors_total", Help: "Databases of addresses that could not be read, or entries of them.",
		}),
	}
	for _, r := range []string{resultCached, resultAnswered, resultFailed, resultLimited} {
		m.whois.WithLabelValues(r)
	}
	if reg == nil {
		return m, nil
	}
	cached := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "saslguard_enrich_whois_cached", Help: "Answers of registries that are kept.",
	}, func() float64 {
		if s := e.state.Load(); s != nil && s.whois != nil {
			return float64(s.whois.cache.len())
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.whois, m.failed, cached} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) asked(result string) { m.whois.WithLabelValues(result).Inc() }
