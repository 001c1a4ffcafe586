package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin/api"
)

// route is one thing that can be asked for.
type route struct {
	method, path string
	role         string // who may
	action       string // what the audit log calls it; "": it changes nothing of an operator's
	handler
}

// handler carries out a request, and knows what goes in and out, which the
// OpenAPI document is held to.
type handler struct {
	serve    func(c *Control, who *caller, w http.ResponseWriter, r *http.Request)
	request  reflect.Type // nil: none
	response reflect.Type // nil: not JSON
	stream   bool         // the response is a line, and more follow
}

// routes are all of them.
func routes() []route {
	return []route{
		{"GET", "/v1/openapi.yaml", RoleRead, "", handler{serve: openAPI}},
		{"GET", "/v1/status", RoleRead, "", answer((*Control).status)},
		{"GET", "/v1/bans", RoleRead, "", answer((*Control).bans)},
		{"POST", "/v1/bans", RoleOperate, "ban", answer((*Control).ban)},
		{"POST", "/v1/bans/remove", RoleOperate, "unban", answer((*Control).unban)},
		{"GET", "/v1/allow", RoleRead, "", answer((*Control).allowed)},
		{"POST", "/v1/allow", RoleOperate, "allow", answer((*Control).allow)},
		{"POST", "/v1/allow/remove", RoleOperate, "disallow", answer((*Control).disallow)},
		{"POST", "/v1/accounts/forget", RoleOperate, "forget", answer((*Control).forget)},
		{"GET", "/v1/explain", RoleRead, "", answer((*Control).explain)},
		{"GET", "/v1/events", RoleRead, "", answer((*Control).events)},
		{"GET", "/v1/events/watch", RoleRead, "", stream[api.EventsQuery, api.Event]((*Control).checkWatch, (*Control).watchEvents, eventBeat)},
		{"GET", "/v1/report", RoleRead, "", answer((*Control).report)},
		{"GET", "/v1/audit", RoleRead, "", answer((*Control).audited)},
		{"GET", "/v1/ledger/watch", RoleRead, "", stream[struct{}, api.LedgerEvent](nil, (*Control).watchLedger, ledgerBeat)},
		{"POST", "/v1/firewall/agent", RoleOperate, "", answer((*Control).takeAgent)},
	}
}

// requestTime bounds the carrying out of a request that is no stream.
const requestTime = 90 * time.Second

// answer is a handler that takes a request and returns an answer.
func answer[Req, Res any](f func(*Control, context.Context, *caller, *Req) (*Res, error)) handler {
	return handler{
		request: reflect.TypeFor[Req](), response: reflect.TypeFor[Res](),
		serve: func(c *Control, who *caller, w http.ResponseWriter, r *http.Request) {
			var in Req
			if err := decode(w, r, &in); err != nil {
				c.fail(w, err)
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), requestTime)
			defer cancel()
			out, err := f(c, ctx, who, &in)
			if err != nil {
				c.fail(w, err)
				return
			}
			c.write(w, http.StatusOK, out)
		},
	}
}

// stream is a handler that answers with lines until one of both ends hangs up.
// What it is asked for is checked before the first of them, if check is not nil;
// beat is the sign of life.
func stream[Req, Line any](check func(*Control, *Req) error, f func(*Control, context.Context, *Req, *lines) error, beat func() Line) handler {
	return handler{
		request: reflect.TypeFor[Req](), response: reflect.TypeFor[Line](), stream: true,
		serve: func(c *Control, _ *caller, w http.ResponseWriter, r *http.Request) {
			var in Req
			if err := decode(w, r, &in); err != nil {
				c.fail(w, err)
				return
			}
			if check != nil {
				if err := check(c, &in); err != nil {
					c.fail(w, err)
					return
				}
			}
			c.stream(w, r, func() any { return beat() }, func(ctx context.Context, l *lines) error { return f(c, ctx, &in, l) })
		},
	}
}

// handler is the API as a whole.
func (c *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes() {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) {
			who, err := c.authenticate(r)
			switch {
			case err != nil:
				w.Header().Set("WWW-Authenticate", `Bearer realm="saslguard"`)
				c.fail(w, err)
			case !who.may(rt.role):
				c.fail(w, c.forbid(who, &rt, r))
			default:
				rt.serve(c, who, w, r)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := c.authenticate(r); err != nil {
			c.fail(w, err)
			return
		}
		var methods []string
		for _, rt := range routes() {
			if rt.path == r.URL.Path {
				methods = append(methods, rt.method)
			}
		}
		if len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			c.fail(w, api.Errorf(http.StatusMethodNotAllowed, api.NotAllowed, "%s wants %s", r.URL.Path, strings.Join(methods, " or ")))
			return
		}
		c.fail(w, api.Errorf(http.StatusNotFound, api.NotFound, "there is nothing at this path; GET /v1/openapi.yaml lists what there is"))
	})
	return mux
}

// fail answers with an error.
func (c *Control) fail(w http.ResponseWriter, err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		c.log.Error("a request to the control API failed", zap.Error(err))
		e = api.Errorf(http.StatusInternalServerError, api.Internal, "%v", err)
	}
	c.write(w, e.Status, e)
}

func (c *Control) write(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // logins are private
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		c.log.Debug("an answer of the control API was not taken", zap.Error(err))
	}
}
