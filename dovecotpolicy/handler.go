package dovecotpolicy

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

const contentType = "application/json"

// handle answers one request: who asks, what for, and what of.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := s.now()
	defer s.recovered(ctx)
	set := s.settings.Load()
	header := &ctx.Request.Header
	if set.credentials.required() && !set.credentials.admit(header.Peek("X-Api-Key"), header.Peek("Authorization")) {
		s.unauthorized(ctx)
		return
	}
	if !header.IsPost() {
		ctx.Response.Header.Set("Allow", "POST")
		s.reject(ctx, http.StatusMethodNotAllowed, badMethod, "Dovecot asks with POST")
		return
	}
	command, ok := commandOf(header.RequestURI())
	if !ok {
		s.reject(ctx, http.StatusBadRequest, badCommand, "the URL must end in ?command=allow or ?command=report")
		return
	}
	heard(ctx.Conn())
	r := request{command: command, date: header.Peek("Date"), body: ctx.Request.Body()}
	answer := s.answerer.answer(set, &r, start)
	if answer.reason != wellFormed {
		s.complain(ctx, answer.reason, answer.err)
	}
	if s.gate.stopping.Load() {
		ctx.SetConnectionClose()
	}
	send(ctx, answer.code, answer.body)
	s.metrics.seconds[command].Observe(s.now().Sub(start).Seconds())
}

func send(ctx *fasthttp.RequestCtx, code int, body []byte) {
	ctx.Response.SetStatusCode(code)
	ctx.Response.Header.SetContentType(contentType)
	ctx.Response.SetBodyRaw(body)
}

// unauthorized answers a request without the right credentials.
func (s *Server) unauthorized(ctx *fasthttp.RequestCtx) {
	s.metrics.unauthorized.Inc()
	s.complaints.say(complainUnauthorized, "request without the right credentials: Dovecot lets such a login through; "+
		"its auth_policy_server_api_header must carry dovecot.api_key, or its auth_policy_server_url dovecot.user and dovecot.password", func() []zap.Field {
		return []zap.Field{zap.Stringer("peer", ctx.RemoteAddr())}
	})
	ctx.Response.Header.Set("WWW-Authenticate", `Basic realm="saslguard"`)
	send(ctx, http.StatusUnauthorized, errorBody("X-API-Key or Authorization: Basic is missing or wrong"))
}

// reject answers a request that is none of Dovecot's.
func (s *Server) reject(ctx *fasthttp.RequestCtx, code int, reason malformed, text string) {
	s.complain(ctx, reason, errors.New(text))
	send(ctx, code, errorBody(text))
}

// complain counts an unreadable request, and logs it with what stands near the
// place where reading ended.
func (s *Server) complain(ctx *fasthttp.RequestCtx, reason malformed, err error) {
	s.metrics.malformed[reason].Inc()
	s.complaints.say(int(reason), "unreadable request: Dovecot lets such a login through", func() []zap.Field {
		fields := []zap.Field{
			zap.String("reason", malformedNames[reason]),
			zap.Stringer("peer", ctx.RemoteAddr()),
		}
		var bad *parseError
		if errors.As(err, &bad) {
			near := ctx.Request.Body()[bad.at:]
			return append(fields, zap.String("error", fit(err.Error(), 4*maxQuoted)), zap.String("near", s.names.Foreign(fit(string(near[:min(len(near), maxQuoted/2)]), maxQuoted))))
		}
		return append(fields, zap.String("error", unquoted(err)), zap.String("target", fit(string(ctx.Request.Header.RequestURI()), maxQuoted)))
	})
}

// recovered answers a request over which saslguard itself failed.
func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	fault := recover()
	if fault == nil {
		return
	}
	command, _ := commandOf(ctx.Request.Header.RequestURI())
	s.metrics.requests[command][panicked].Inc()
	s.complaints.say(complainPanic, "fault while answering Dovecot", func() []zap.Field {
		return []zap.Field{zap.String("panic", s.names.Foreign(fit(fmt.Sprint(fault), 4*maxQuoted))), zap.Stack("stack")}
	})
	ctx.Response.Reset()
	send(ctx, http.StatusInternalServerError, errorBody("fault in saslguard, see its log"))
}

// handleError answers what fasthttp could not read as a request. The connection
// is closed afterwards.
func (s *Server) handleError(ctx *fasthttp.RequestCtx, err error) {
	code, reason, text := http.StatusBadRequest, badHTTP, "this is no HTTP request that can be read"
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case plainHTTP(err):
		// The answer will not arrive: the other side cannot read it.
		err = errors.New("Dovecot speaks http to an https address: auth_policy_server_url must begin with https:// (dovecot.tls_cert is set)")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		code, reason, text = http.StatusRequestEntityTooLarge, bodyTooLarge, "the body is longer than max_body"
	case errors.As(err, &small):
		code, reason, text = http.StatusRequestHeaderFieldsTooLarge, headerTooLarge, "the headers are too long"
	case errors.As(err, &network) && network.Timeout():
		code, reason, text = http.StatusRequestTimeout, timedOut, "the request did not come in time"
	}
	s.complain(ctx, reason, err)
	send(ctx, code, errorBody(text))
}
