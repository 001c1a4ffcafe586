package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"

	"github.com/saslguard/saslguard/admin/api"
)

// Status asks how saslguard does, here and on the other hosts.
func (c *Client) Status(ctx context.Context) (out api.Status, err error) {
	return out, c.get(ctx, api.Prefix+"/status", nil, &out)
}

// Bans lists bans.
func (c *Client) Bans(ctx context.Context, q api.BansQuery) (out api.Entries, err error) {
	return out, c.get(ctx, api.Prefix+"/bans", queryOf(&q), &out)
}

// Ban bans.
func (c *Client) Ban(ctx context.Context, in api.PutRequest) (out api.Changes, err error) {
	return out, c.post(ctx, api.Prefix+"/bans", &in, &out)
}

// Unban lifts bans.
func (c *Client) Unban(ctx context.Context, in api.RemoveRequest) (out api.Changes, err error) {
	return out, c.post(ctx, api.Prefix+"/bans/remove", &in, &out)
}

// Allowed lists the allowlist.
func (c *Client) Allowed(ctx context.Context, q api.BansQuery) (out api.Entries, err error) {
	return out, c.get(ctx, api.Prefix+"/allow", queryOf(&q), &out)
}

// Allow adds to the allowlist.
func (c *Client) Allow(ctx context.Context, in api.PutRequest) (out api.Changes, err error) {
	return out, c.post(ctx, api.Prefix+"/allow", &in, &out)
}

// Disallow takes off the allowlist.
func (c *Client) Disallow(ctx context.Context, in api.RemoveRequest) (out api.Changes, err error) {
	return out, c.post(ctx, api.Prefix+"/allow/remove", &in, &out)
}

// Forget drops what is known of an account.
func (c *Client) Forget(ctx context.Context, in api.ForgetRequest) (out api.Forgotten, err error) {
	return out, c.post(ctx, api.Prefix+"/accounts/forget", &in, &out)
}

// Explain asks why a client or an account is treated as it is.
func (c *Client) Explain(ctx context.Context, q api.ExplainQuery) (out api.Explanation, err error) {
	return out, c.get(ctx, api.Prefix+"/explain", queryOf(&q), &out)
}

// Events lists the latest events.
func (c *Client) Events(ctx context.Context, q api.EventsQuery) (out api.History, err error) {
	return out, c.get(ctx, api.Prefix+"/events", queryOf(&q), &out)
}

// WatchEvents calls f with what happens from now on, signs of life included,
// until ctx ends, f fails or the server is gone, and returns why.
func (c *Client) WatchEvents(ctx context.Context, q api.EventsQuery, f func(api.Event) error) error {
	path := api.Prefix + "/events/watch"
	if query := queryOf(&q); len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.stream(ctx, path, func(line []byte) error {
		var e api.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("an event cannot be read: %w", err)
		}
		return f(e)
	})
}

// Report asks what happened in a while.
func (c *Client) Report(ctx context.Context, q api.ReportQuery) (out api.Report, err error) {
	return out, c.get(ctx, api.Prefix+"/report", queryOf(&q), &out)
}

// Audit lists who changed what.
func (c *Client) Audit(ctx context.Context, q api.AuditQuery) (out api.Audit, err error) {
	return out, c.get(ctx, api.Prefix+"/audit", queryOf(&q), &out)
}

// queryOf writes what is set of a struct with `query` tags.
func queryOf(q any) url.Values {
	values := url.Values{}
	v := reflect.ValueOf(q).Elem()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Tag.Get("query"), v.Field(i)
		if f.IsZero() {
			continue
		}
		switch f.Kind() {
		case reflect.Slice:
			values[name] = append([]string{}, f.Interface().([]string)...)
		case reflect.Int:
			values.Set(name, strconv.FormatInt(f.Int(), 10))
		default:
			values.Set(name, f.String())
		}
	}
	return values
}
