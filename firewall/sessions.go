package firewall

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"go.uber.org/zap"
)

// ender ends what banned clients have open, beside Run, so that to look through
// many connections holds up no ban.
type ender struct {
	agent *Agent
	wake  chan struct{} // holds a token while there is something to do

	mu    sync.Mutex
	new   []netip.Prefix // denied since the last time
	every bool           // all that is denied is looked for
}

const (
	// maxNew is up to how many prefixes they are looked for one by one.
	maxNew = 10_000
	// maxEnded is how many connections are ended at once.
	maxEnded = 10_000
	// endPause is the shortest time between two looks; after a long one the pause
	// is as many times longer as endShare says.
	endPause = 20 * time.Millisecond
	endShare = 9
)

// these has sessions ended that changes deny.
func (s *ender) these(changes []Change) {
	s.mu.Lock()
	for _, c := range changes {
		if c.Remove || !c.Layer.Denies() {
			continue
		}
		if len(s.new) >= maxNew {
			s.new, s.every = nil, true
		}
		s.new = append(s.new, c.Prefix)
	}
	some := len(s.new) > 0
	s.mu.Unlock()
	if some {
		s.poke()
	}
}

// all has every session ended that is denied.
func (s *ender) all() {
	s.mu.Lock()
	s.new, s.every = nil, true
	s.mu.Unlock()
	s.poke()
}

func (s *ender) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (s *ender) run(ctx context.Context) {
	complained := false
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		ended, err := s.end(ctx)
		switch {
		case err == nil:
			complained = false
		case ctx.Err() == nil && !complained:
			complained = true
			s.agent.log.Warn("open connections of banned clients were not ended; nothing comes in by them, and the server closes them after its own timeout", zap.Error(err))
		}
		if ended > 0 {
			s.agent.metrics.ended.Add(float64(ended))
			s.agent.log.Info("connections of banned clients were ended", zap.Int("connections", ended))
		}
		if ended == maxEnded {
			s.all()
		}
		select {
		case <-time.After(max(endPause, endShare*time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// end ends what has come together.
func (s *ender) end(ctx context.Context) (int, error) {
	s.mu.Lock()
	prefixes, every := s.new, s.every
	s.new, s.every = nil, false
	s.mu.Unlock()
	lately := new(bart.Lite)
	for _, p := range prefixes {
		lately.Insert(p)
	}
	a := s.agent
	a.mu.Lock()
	ports := a.ports
	a.mu.Unlock()
	return a.sessions.End(ctx, ports, func(client netip.Addr) bool {
		inner, _ := wrapped(client)
		if !every && !lately.Contains(client) && !(inner.IsValid() && lately.Contains(inner)) {
			return false
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.shadow.denies(client, a.now())
	}, maxEnded)
}
