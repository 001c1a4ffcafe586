// Package admin serves what people and machines look at while saslguard runs, and
// what they change. Server has /metrics in Prometheus's text format, and /healthz,
// which says part by part whether saslguard works; it listens on loopback, because
// it asks nobody who he is. Control has the API behind the operator's commands,
// HTTP and JSON under /v1, described by openapi.yaml, on a Unix socket and over TCP
// with tokens. Neither is part of any login's way: when they fail, logins go on.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// State is how well a part works.
type State string

// The states, from good to bad.
const (
	OK       State = "ok"
	Degraded State = "degraded" // it does its work with less than it should have
	Failing  State = "failing"  // it does not do its work
)

// Part is the health of one part of saslguard.
type Part struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"` // what is wrong, or what it is; one line
}

// Health is what /healthz answers: 503 if a part is failing, else 200, so that
// nobody restarts a saslguard that only waits for Redis or for the disk.
type Health struct {
	State   State  `json:"state"` // the worst of the parts
	Version string `json:"version"`
	Mode    string `json:"mode"` // observe or enforce
	Parts   []Part `json:"parts"`
}

// Options are what a Server is made of; all are required.
type Options struct {
	Gatherer prometheus.Gatherer
	Health   func() Health // quick; its State is worked out from the parts
	Logger   *zap.Logger
}

// Server serves /metrics and /healthz.
type Server struct {
	http http.Server
	log  *zap.Logger
}

// The bounds of a request: nobody sends anything here but a line and headers.
const (
	requestTimeout = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10
)

// New returns a server.
func New(o Options) *Server {
	s := &Server{log: o.Logger}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(o.Logger), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.health(w, o.Health()) })
	s.http = http.Server{
		Handler:     mux,
		ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: zap.NewStdLog(o.Logger),
	}
	return s
}

// Serve answers on a listener until Shutdown, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
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

// worst is a health with the state of its worst part.
func worst(h Health) Health {
	h.State = OK
	for _, p := range h.Parts {
		if p.State == Failing || p.State == Degraded && h.State == OK {
			h.State = p.State
		}
	}
	return h
}

func (s *Server) health(w http.ResponseWriter, h Health) {
	h = worst(h)
	w.Header().Set("Content-Type", "application/json")
	if h.State == Failing {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(h); err != nil {
		s.log.Debug("a health answer was not taken", zap.Error(err))
	}
}
