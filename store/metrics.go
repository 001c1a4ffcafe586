package store

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the registered metrics of a store. Its zero value is none.
type Metrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector
}

// Register registers all of a store's metrics, or none and returns why. A nil
// registerer registers none, and is no error.
func Register(r prometheus.Registerer, all []prometheus.Collector) (Metrics, error) {
	if r == nil {
		return Metrics{}, nil
	}
	m := Metrics{registerer: r}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			m.Unregister()
			return Metrics{}, err
		}
		m.collectors = append(m.collectors, c)
	}
	return m, nil
}

// Unregister makes room for the metrics of a store opened later.
func (m Metrics) Unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}
