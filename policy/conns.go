package policy

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/listen"
)

const (
	// checkTimeout ends a question to the judge; its connection is closed after
	// the answer. hangTimeout closes the connection of a judge that does not
	// even notice. Both are below the policy timeout of 3 s that the shipped
	// Postfix configuration has: after a timeout of its own, Postfix may never
	// ask again.
	checkTimeout = time.Second
	hangTimeout  = 2 * time.Second
	// silentFor is how long a connection may ask nothing before another may take its
	// place, where there are too many. Postfix opens one when it has something to ask.
	silentFor = 100 * time.Millisecond
	// watchEvery is how often questions are looked at for these timeouts.
	watchEvery = 100 * time.Millisecond
)

// take serves a connection, or closes it at once when there are too many:
// better that Postfix learns it now than that it waits. But whoever opens
// connections and asks nothing does not keep Postfix out: the oldest of those gives
// way.
func (s *Server) take(alive context.Context, nc net.Conn) {
	set := s.settings.Load()
	if !set.admits(nc) {
		_ = nc.Close()
		s.metrics.strangers.Inc()
		s.limited.Warn("a stranger's connection was closed: if a Postfix of yours is there, it belongs into postfix.allow_from",
			zap.Stringer("peer", nc.RemoteAddr()))
		return
	}
	most := set.maxConnections
	s.mu.Lock()
	if s.stopping.Load() || len(s.conns) >= most && !s.oust() {
		s.mu.Unlock()
		defer nc.Close() // whoever sees it closed finds it counted
		if !s.stopping.Load() {
			s.metrics.rejected.Inc()
			s.limited.Warn("too many connections: closing the newest; raise postfix.max_connections above the number of smtpd processes",
				zap.Int("max_connections", most), zap.Stringer("peer", nc.RemoteAddr()))
		}
		return
	}
	c := newConn(alive, s, nc)
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	s.metrics.connections.Inc()
	go c.serve()
}

// oust closes the oldest connection that has asked nothing yet, and tells whether
// there was one that has had its time. Whoever calls holds mu.
func (s *Server) oust() bool {
	var oldest *conn
	for c := range s.conns {
		if !c.heard.Load() && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest == nil || time.Since(oldest.since) < silentFor {
		return false
	}
	delete(s.conns, oldest)
	listen.HangUp(oldest.nc)
	return true
}

// forget is the end of every connection.
func (s *Server) forget(c *conn) {
	c.cancel()
	_ = c.nc.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.metrics.connections.Dec()
	s.wg.Done()
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel()
		listen.HangUp(c.nc)
	}
}

// watch ends questions that take too long, and connections that were left. One look at
// all of them now and then is cheaper than a timer for each request.
func (s *Server) watch(alive context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-alive.Done():
			return
		case <-tick.C:
		}
		now := time.Since(s.born)
		s.mu.Lock()
		for c := range s.conns {
			c.watch(now)
		}
		s.mu.Unlock()
	}
}

// watch looks at one connection, by the server's clock.
func (c *conn) watch(now time.Duration) {
	if state := c.state.Load(); c.unsure.Load() && (state == idle || state == partial) {
		// Who said something and closed his end at once is not noticed otherwise.
		c.unsure.Store(false)
		listen.NoticeEnd(c.nc)
	}
	asked := c.asked.Load()
	if asked == notAsking {
		return
	}
	if waited := now - time.Duration(asked); waited > hangTimeout {
		listen.HangUp(c.nc)
	} else if waited > checkTimeout {
		c.cancel()
	}
}
