package dovecotpolicy

import "github.com/prometheus/client_golang/prometheus"

// command is what Dovecot wants of a request.
type command uint8

const (
	allow command = iota
	report
	commands
)

var commandNames = [commands]string{"allow", "report"}

// answered is what became of a request.
type answered uint8

const (
	passed    answered = iota // allow: go on
	tarpitted                 // allow: go on after a delay
	refused                   // allow: do not
	skipped                   // nothing to judge
	taken                     // report: counted
	dropped                   // report: the guard's queue is full
	panicked                  // a fault in saslguard
	answers
)

var answerNames = [answers]string{"pass", "tarpit", "refuse", "skipped", "taken", "dropped", "panic"}

// malformed is why a request could not be read.
type malformed uint8

const (
	wellFormed malformed = iota
	badJSON
	badType
	noSuccess
	badCommand
	badMethod
	bodyTooLarge
	headerTooLarge
	badHTTP
	timedOut
	malformeds
)

var malformedNames = [malformeds]string{"", "json", "type", "no_success", "command", "method",
	"body_size", "header_size", "http", "timeout"}

// skip is why there was nothing to judge.
type skip uint8

const (
	noClient skip = iota // remote is empty, as from doveadm auth test
	badClient
	noLogin // and nothing that counts against the client
	skips
)

var skipNames = [skips]string{"no_client", "bad_client", "no_login"}

// metrics are what an operator sees of this face. No label has a value that a
// client chooses.
type metrics struct {
	requests     [commands][answers]prometheus.Counter
	malformed    [malformeds]prometheus.Counter
	skipped      [skips]prometheus.Counter
	unauthorized prometheus.Counter
	overflow     prometheus.Counter
	seconds      [commands]prometheus.Observer
}

func newMetrics(r prometheus.Registerer, connections func() float64) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "saslguard", Subsystem: "dovecot", Name: name, Help: help}
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	var (
		requests     = counters("requests_total", "Requests by command and what became of them.", "command", "answer")
		unreadable   = counters("malformed_total", "Requests that could not be read. Dovecot lets such logins through.", "reason")
		skipped      = counters("skipped_total", "Requests with nothing to judge.", "reason")
		unauthorized = prometheus.NewCounter(prometheus.CounterOpts(opts("unauthorized_total", "Requests without the right credentials. Dovecot lets such logins through.")))
		overflow     = prometheus.NewCounter(prometheus.CounterOpts(opts("connections_refused_total", "Connections closed because there were max_connections.")))
		open         = prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("connections", "Open connections.")), connections)
		seconds      = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "saslguard", Subsystem: "dovecot", Name: "answer_seconds",
			Help:    "Time from having read a request to having its answer.",
			Buckets: []float64{.00001, .000025, .0001, .00025, .001, .0025, .01, .025, .1, .25, 1, 2},
		}, []string{"command"})
	)
	if r != nil {
		for _, c := range []prometheus.Collector{requests, unreadable, skipped, unauthorized, overflow, open, seconds} {
			if err := r.Register(c); err != nil {
				return nil, err
			}
		}
	}
	m := &metrics{unauthorized: unauthorized, overflow: overflow}
	for c := range commands {
		for a := range answers {
			if answerOf(c, a) {
				m.requests[c][a] = requests.WithLabelValues(commandNames[c], answerNames[a])
			}
		}
		m.seconds[c] = seconds.WithLabelValues(commandNames[c])
	}
	for i := range malformeds {
		if i != wellFormed {
			m.malformed[i] = unreadable.WithLabelValues(malformedNames[i])
		}
	}
	for i := range skips {
		m.skipped[i] = skipped.WithLabelValues(skipNames[i])
	}
	return m, nil
}

// answerOf says whether a command can have an answer, so that no series exists
// that can only be zero.
func answerOf(c command, a answered) bool {
	switch a {
	case passed, tarpitted, refused:
		return c == allow
	case taken, dropped:
		return c == report
	default:
		return true
	}
}
