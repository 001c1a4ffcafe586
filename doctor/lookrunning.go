package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/saslguard/saslguard/admin"
)

// running is what the running saslguard says of itself.
type running struct {
	address string // admin.listen; "": it says nothing anywhere
	err     error  // nothing else is known
	health  admin.Health
	figures figures
}

// figures are its metrics.
type figures map[string]*dto.MetricFamily

func lookAtRunning(ctx context.Context, address string) *running {
	r := &running{address: address}
	if address == "" {
		r.err = errors.New("admin.listen is empty, so nobody can be asked")
		return r
	}
	r.err = r.read(ctx)
	return r
}

const (
	runningTimeout = 3 * time.Second
	maxMetrics     = 4 << 20
)

func (r *running) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*runningTimeout)
	defer cancel()
	err := fetch(ctx, "http://"+r.address+"/healthz", func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&r.health)
	})
	if err != nil {
		return err
	}
	return fetch(ctx, "http://"+r.address+"/metrics", func(body io.Reader) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(body)
		r.figures = families
		return err
	})
}

func fetch(ctx context.Context, address string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: runningTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return err
	}
	defer res.Body.Close()
	if err := read(io.LimitReader(res.Body, maxMetrics)); err != nil {
		return fmt.Errorf("%s does not answer like saslguard: %w", address, err)
	}
	return nil
}

// sum adds up the counters of a family whose labels are as wanted.
func (f figures) sum(name string, labels ...string) float64 {
	total := 0.0
	family := f[name]
	if family == nil {
		return 0
	}
	for _, m := range family.GetMetric() {
		if has(m, labels) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return total
}

// has tells whether a metric has the labels: name, value, name, value …
func has(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// since is how long the saslguard has run.
func (f figures) since(now time.Time) time.Duration {
	start := f.sum("process_start_time_seconds")
	if start == 0 {
		return 0
	}
	return now.Sub(time.Unix(int64(start), 0))
}
