package policy

import (
	"fmt"

	"go.uber.org/zap"
)

// malformed counts a request that cannot be judged, and logs what of it is fit
// to be logged, a few times a minute, and what Postfix got for it.
func (s *Server) malformed(c *conn, reason string, request []byte) {
	s.metrics.malformed[reason].Inc()
	if reason == badUnknown {
		return // Postfix says so when the client has gone already
	}
	// Only a request whose end was found can be answered.
	answer := "none: the connection is closed"
	if answered, _ := whole(request, 0); answered {
		answer = "DUNNO"
	}
	s.limited.Warn("malformed request",
		zap.String("reason", reason),
		zap.String("answer", answer),
		zap.Stringer("peer", c.nc.RemoteAddr()),
		zap.Int("bytes", len(request)),
		zap.String("request", s.names.Foreign(quote(request))),
	)
}

// panicked counts and logs a panic while a request was handled.
func (s *Server) panicked(c *conn, p any) {
	s.metrics.panics.Inc()
	s.limited.Error("panic while answering Postfix: the connection is closed",
		zap.String("panic", s.names.Foreign(fmt.Sprint(p))),
		zap.Stringer("peer", c.nc.RemoteAddr()),
		zap.String("request", s.names.Foreign(quote(c.buf[:c.r]))),
		zap.Stack("stack"),
	)
}
