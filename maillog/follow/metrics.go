package follow

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/score"
)

// skip is why an attempt of a log is not counted.
type skip uint8

const (
	skippedService  skip = iota // not in maillog.services
	skippedReported             // Dovecot reports the service itself
	skippedOld                  // from before the time from which the log is read
	skips
)

var skipNames = [skips]string{"service", "reported", "old"}

// reopening is why a file is begun.
type reopening uint8

const (
	reopenedRotated reopening = iota
	reopenedTruncated
	reopenings
)

var reopeningNames = [reopenings]string{"rotated", "truncated"}

var outcomeNames = map[score.Outcome]string{
	score.Success: "success", score.Failure: "failure", score.UnknownAccount: "unknown-account",
	score.Refused: "refused", score.Ignored: "ignored",
}

// metrics are what an operator sees of the logs. No label has a value that
// somebody who writes into a log chooses.
type metrics struct {
	lines       *prometheus.CounterVec // by program and class
	attempts    *prometheus.CounterVec // by program and outcome
	skipped     [skips]prometheus.Counter
	reopened    [reopenings]prometheus.Counter
	unknown     *prometheus.CounterVec
	bytes       prometheus.Counter
	long        prometheus.Counter
	partial     prometheus.Counter
	lost        prometheus.Counter
	panics      prometheus.Counter
	storeErrors prometheus.Counter
	stateErrors prometheus.Counter
	restarts    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, behind, troubled func() float64) (*metrics, error) {
	var all []prometheus.Collector
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "saslguard", Subsystem: "maillog", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
		all = append(all, c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
		all = append(all, c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), f))
	}
	m := &metrics{
		lines:       vec("lines_total", "Lines by the program that wrote them and by what they are about.", "program", "class"),
		attempts:    vec("attempts_total", "Login attempts counted from logs, by the program that told of them.", "program", "outcome"),
		unknown:     vec("unknown_total", "Lines that look like failed logins and were not understood, by the program that wrote them.", "program"),
		bytes:       counter("bytes_total", "Bytes of logs that were read."),
		long:        counter("long_lines_total", "Lines that were dropped because they are too long."),
		partial:     counter("partial_lines_total", "Last lines of files rotated away that were never completed, and dropped."),
		lost:        counter("lost_places_total", "Times that a part of a log was gone before it was read."),
		panics:      counter("panics_total", "Lines that upset their parser."),
		storeErrors: counter("store_errors_total", "Times that attempts could not be counted at once and reading waited."),
		stateErrors: counter("state_errors_total", "Times that the places in the logs could not be saved."),
		restarts:    counter("journalctl_exits_total", "Times that journalctl ended by itself and was started anew."),
	}
	gauge("behind_seconds", "How long no log that is behind has been read to its end; 0: all are.", behind)
	gauge("sources_unreadable", "Logs that cannot be followed.", troubled)
	m.unknown.WithLabelValues(programName("")) // exists before there is one
	m.program("")
	skipped := vec("skipped_total", "Login attempts of logs that were not counted.", "why")
	for i := range m.skipped {
		m.skipped[i] = skipped.WithLabelValues(skipNames[i])
	}
	reopened := vec("reopened_total", "Files begun because the log was rotated.", "why")
	for i := range m.reopened {
		m.reopened[i] = reopened.WithLabelValues(reopeningNames[i])
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// programMetrics are those of one program's lines.
type programMetrics struct {
	lines    [maillog.Malformed + 1]prometheus.Counter
	attempts map[score.Outcome]prometheus.Counter
}

// program returns the metrics of a program by its kind, of which there are a few
// constants.
func (m *metrics) program(kind string) *programMetrics {
	p := &programMetrics{attempts: map[score.Outcome]prometheus.Counter{}}
	for c := range p.lines {
		p.lines[c] = m.lines.WithLabelValues(programName(kind), maillog.Class(c).String())
	}
	for o, name := range outcomeNames {
		p.attempts[o] = m.attempts.WithLabelValues(programName(kind), name)
	}
	return p
}

func (p *programMetrics) counted(a *guard.Attempt) {
	if c := p.attempts[a.Outcome]; c != nil {
		c.Add(float64(max(a.Count, 1)))
	}
}
