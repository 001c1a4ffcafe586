package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Socket is the name of the agent's socket in the runtime directory. Whoever may
// connect may operate the agent; nothing else is asked.
const Socket = "firewall.sock"

// Bounds of the agent's socket.
const (
	controlTimeout = 30 * time.Second
	maxRequest     = 4 << 10
	maxAnswer      = 256 << 20
	maxPause       = 366 * 24 * time.Hour
)

// PauseRequest is what POST /pause takes.
type PauseRequest struct {
	Keep    bool    `json:"keep"`              // what is in force stays
	Seconds float64 `json:"seconds,omitempty"` // 0: until it is resumed
}

// FlushAnswer is what POST /flush returns.
type FlushAnswer struct {
	Bans int `json:"bans"` // that were taken out of the firewall
}

// RateAnswer is a source of new connections as GET /rates lists it.
type RateAnswer struct {
	Limit     int          `json:"limit"` // its number in firewall.limits, from 1
	Ports     []string     `json:"ports"`
	Rate      string       `json:"rate"`
	Source    netip.Prefix `json:"source"`
	Refused   uint64       `json:"refused"`   // packets of connections beyond the limit
	Last      time.Time    `json:"last"`      // its last new connection
	Forgotten time.Time    `json:"forgotten"` // when it will be, if none follows
}

// Server answers on the agent's socket.
type Server struct{ http http.Server }

// NewServer returns the server of an agent. It shows metrics as well where they are
// shown nowhere else; nil shows none.
func NewServer(a *Agent, log *zap.Logger, metrics prometheus.Gatherer) *Server {
	mux := http.NewServeMux()
	if metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: zap.NewStdLog(log), MaxRequestsInFlight: 4}))
	}
	mux.HandleFunc("GET /status", answer(log, func(r *http.Request) (any, error) { return a.Status(r.Context()) }))
	mux.HandleFunc("GET /rates", answer(log, func(r *http.Request) (any, error) { return a.rateAnswers(r.Context()) }))
	mux.HandleFunc("POST /pause", answer(log, func(r *http.Request) (any, error) {
		var p PauseRequest
		d := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return nil, badRequest{fmt.Errorf("the request is not understood: %w", err)}
		}
		if !(p.Seconds >= 0 && p.Seconds <= maxPause.Seconds()) {
			return nil, badRequest{fmt.Errorf("a pause lasts for 0 to %v seconds", maxPause.Seconds())}
		}
		if err := a.Pause(r.Context(), p.Keep, time.Duration(p.Seconds*float64(time.Second))); err != nil {
			return nil, err
		}
		return a.Status(r.Context())
	}))
	mux.HandleFunc("POST /resume", answer(log, func(r *http.Request) (any, error) {
		if err := a.Resume(r.Context()); err != nil {
			return nil, err
		}
		return a.Status(r.Context())
	}))
	mux.HandleFunc("POST /flush", answer(log, func(r *http.Request) (any, error) {
		n, err := a.Flush(r.Context())
		return FlushAnswer{n}, err
	}))
	return &Server{http: http.Server{
		Handler: mux, ReadTimeout: controlTimeout, WriteTimeout: 2 * controlTimeout, IdleTimeout: controlTimeout,
		MaxHeaderBytes: maxRequest, ErrorLog: zap.NewStdLog(log),
	}}
}

// badRequest is an error of whoever asks.
type badRequest struct{ error }

// answer makes a handler of a function.
func answer(log *zap.Logger, f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), controlTimeout)
		defer cancel()
		v, err := f(r.WithContext(ctx))
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			code := http.StatusInternalServerError
			if errors.As(err, new(badRequest)) {
				code = http.StatusBadRequest
			}
			w.WriteHeader(code)
			v = failure{err.Error()}
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			log.Debug("an answer was not taken", zap.Error(err))
		}
	}
}

// failure is an answer that is none.
type failure struct {
	Error string `json:"error"`
}

// rateAnswers is Rates with what the configuration says of the limits.
func (a *Agent) rateAnswers(ctx context.Context) ([]RateAnswer, error) {
	rates, err := a.Rates(ctx)
	if err != nil {
		return nil, err
	}
	var limits []LimitConfig
	if err := a.ask(ctx, func() { limits = a.settings.Config.Limits }); err != nil {
		return nil, err
	}
	now := a.now()
	answers := make([]RateAnswer, 0, len(rates))
	for _, r := range rates {
		if r.Limit > len(limits) {
			continue // the configuration has changed since
		}
		l := limits[r.Limit-1]
		answers = append(answers, RateAnswer{
			Limit: r.Limit, Ports: l.Ports, Rate: l.Rate, Source: r.Source, Refused: r.Refused,
			Last: now.Add(-r.Seen).Truncate(time.Second), Forgotten: now.Add(r.Forgets).Truncate(time.Second),
		})
	}
	return answers, nil
}

// Serve answers on a listener until Shutdown, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the firewall's socket: %w", err)
	}
	return nil
}

// Shutdown ends the server once requests under way are answered, or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
