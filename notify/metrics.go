package notify

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the notifier's figures. Receivers are named by what they are, never by
// where they are.
type metrics struct {
	found      *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	dropped    prometheus.Counter
}

// What became of news.
const (
	resultTold     = "told"     // at once
	resultDigest   = "digest"   // waits for one
	resultRepeated = "repeated" // was told before
	resultOld      = "old"      // happened too long ago
)

// What became of a try to deliver a message.
const (
	resultDelivered = "delivered"
	resultFailed    = "failed"   // a try; it may be tried again
	resultGivenUp   = "given-up" // a message
	resultDropped   = "dropped"  // a message, for want of room
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		found:      vec("saslguard_notify_news_total", "News that were found, by what became of them.", "kind", "result"),
		deliveries: vec("saslguard_notify_deliveries_total", "Deliveries of messages by receiver and result; failed counts tries.", "target", "result"),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "saslguard_notify_dropped_total", Help: "Events that nobody looked at, and news that nobody was told, because too many waited.",
		}),
	}
	for _, k := range Kinds() {
		for _, r := range []string{resultTold, resultDigest, resultRepeated, resultOld} {
			m.found.WithLabelValues(string(k), r)
		}
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.found, m.deliveries, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// expect makes the series of receivers, so that they exist before the first failure.
func (m *metrics) expect(targets []target) {
	for _, t := range targets {
		for _, r := range []string{resultDelivered, resultFailed, resultGivenUp, resultDropped} {
			m.deliveries.WithLabelValues(scheme(t.name()), r)
		}
	}
}

// scheme is what a receiver is, the last word of its name.
func scheme(name string) string { return name[strings.LastIndexByte(name, ' ')+1:] }

func (m *metrics) news(k Kind, result string) {
	m.found.WithLabelValues(string(k), result).Inc()
}

func (m *metrics) delivery(target, result string) {
	m.deliveries.WithLabelValues(scheme(target), result).Inc()
}
