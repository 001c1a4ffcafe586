package firewall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"
)

// Client asks the agent of this host by its socket.
type Client struct {
	path string
	http *http.Client
}

const dialTimeout = 5 * time.Second

// NewClient returns a client. It connects when it is asked to do something.
func NewClient(path string) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &Client{path: path, http: &http.Client{Timeout: 3 * controlTimeout, Transport: &http.Transport{
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
		MaxIdleConns: 1, IdleConnTimeout: controlTimeout,
	}}}
}

// Status asks what the agent does.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/status", nil, &s)
}

// Rates asks which sources the limits of new connections know.
func (c *Client) Rates(ctx context.Context) (r []RateAnswer, err error) {
	return r, c.do(ctx, http.MethodGet, "/rates", nil, &r)
}

// Pause pauses the agent, as Agent.Pause does.
func (c *Client) Pause(ctx context.Context, keep bool, lasts time.Duration) (s Status, err error) {
	return s, c.do(ctx, http.MethodPost, "/pause", PauseRequest{keep, lasts.Seconds()}, &s)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodPost, "/resume", nil, &s)
}

// Flush takes all bans out of the firewall that are in it now.
func (c *Client) Flush(ctx context.Context) (f FlushAnswer, err error) {
	return f, c.do(ctx, http.MethodPost, "/flush", nil, &f)
}

func (c *Client) do(ctx context.Context, method, path string, ask, answer any) error {
	var body io.Reader
	if ask != nil {
		text, err := json.Marshal(ask)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://firewall"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: permission denied; be root, or a member of the socket's group", c.path)
	case err != nil:
		return fmt.Errorf("no firewall agent answers at %s: %w", c.path, err)
	}
	defer res.Body.Close()
	d := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := d.Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("%s does not answer like a firewall agent: %s", c.path, res.Status)
		}
		return errors.New(f.Error)
	}
	if err := d.Decode(answer); err != nil {
		return fmt.Errorf("%s does not answer like a firewall agent: %w", c.path, err)
	}
	return nil
}
