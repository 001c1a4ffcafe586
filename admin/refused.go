package admin

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin/api"
)

// Why a request is refused before anybody looks at what it says.
const (
	noToken    = "no-token"
	wrongToken = "wrong-token"
	wrongRole  = "role"
)

const (
	refusedTime  = time.Minute
	refusedLines = 10 // in that time; the rest is only counted
)

// refusals tells of requests that are refused for who makes them. A stranger who
// tries tokens fills neither the log nor the list of changes.
type refusals struct {
	log   *zap.Logger
	count *prometheus.CounterVec

	mu     sync.Mutex
	since  time.Time // when the present while began
	lines  int       // in it
	silent int       // that were not told since the last line
}

func newRefusals(log *zap.Logger, r prometheus.Registerer) (*refusals, error) {
	f := &refusals{log: log, count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "saslguard_control_refused_total", Help: "Requests to the control API that were refused for who made them.",
	}, []string{"why"})}
	for _, why := range []string{noToken, wrongToken, wrongRole} {
		f.count.WithLabelValues(why)
	}
	if r != nil {
		if err := r.Register(f.count); err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
	}
	return f, nil
}

// tell counts a refusal and tells of it, unless it was told of many just now: that
// is what it returns.
func (f *refusals) tell(now time.Time, why string, r *http.Request, token string) bool {
	f.count.WithLabelValues(why).Inc()
	f.mu.Lock()
	if age := now.Sub(f.since); age < 0 || age >= refusedTime {
		f.since, f.lines = now, 0
	}
	if f.lines >= refusedLines {
		f.silent++
		f.mu.Unlock()
		return false
	}
	f.lines++
	silent := f.silent
	f.silent = 0
	f.mu.Unlock()
	f.log.Warn("a request to the control API was refused", zap.String("why", why), zap.String("from", r.RemoteAddr),
		zap.String("token", token), zap.String("method", clip(r.Method)), zap.String("path", clip(r.URL.Path)), zap.Int("not_told_before", silent))
	return true
}

// forbid refuses a request whose caller may not make it. That he tried to change
// something is among the changes.
func (c *Control) forbid(who *caller, rt *route, r *http.Request) error {
	err := api.Errorf(http.StatusForbidden, api.Forbidden, "the token %s may %s, and this needs %s", who.name, who.role, rt.role)
	if c.refusals.tell(time.Now(), wrongRole, r, who.name) && rt.action != "" {
		c.audit(who, rt.action, nil, false, err)
	}
	return err
}
