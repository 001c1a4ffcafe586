// Package client asks the control API of a running saslguard, by its Unix socket
// or over TCP with a token. The commands of the CLI use it, and so does a firewall
// agent that runs by itself.
//
// Every call keeps to its context and has a deadline of its own beside it. An
// error that the server returned is an *api.Error; others say that nobody
// answers, and where.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/saslguard/saslguard/admin/api"
)

// Options say where the API is.
type Options struct {
	// Address is "unix:/path", "http://host:port" on loopback, or
	// "https://host:port".
	Address string
	Token   string      // for TCP
	TLS     *tls.Config // nil: the system's authorities
}

// Client asks one saslguard. Its methods may be called by many goroutines.
type Client struct {
	address string // as it was given, for messages
	base    string
	token   string
	http    *http.Client
}

const (
	dialTimeout = 5 * time.Second
	callTimeout = 2 * time.Minute
	maxAnswer   = 256 << 20 // 500,000 bans
)

// New returns a client. It connects when it is asked to do something.
func New(o Options) (*Client, error) {
	c := &Client{address: o.Address, token: o.Token}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		TLSClientConfig: o.TLS, TLSHandshakeTimeout: dialTimeout, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
		DialContext: dialer.DialContext,
	}
	path, unix := strings.CutPrefix(o.Address, "unix:")
	u, err := url.Parse(o.Address)
	switch {
	case unix:
		c.base = "http://saslguard"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("%q is no address of a control API; allowed are unix:/path, https://host:port, and http://host:port on loopback", o.Address)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s would send the token unencrypted; allowed is https", o.Address)
	default:
		c.base = strings.TrimSuffix(o.Address, "/")
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a token goes nowhere else
	}}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close closes connections that idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// get asks for something; query may be nil.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, out)
}

// post has something done.
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, body, out)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s does not answer like saslguard: %w", c.address, err)
	}
	return nil
}

// send returns the answer to a request that was granted.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	e := new(api.Error)
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(e); err != nil || e.Message == "" {
		return nil, fmt.Errorf("%s answers %s, not like saslguard", c.address, res.Status)
	}
	e.Status = res.StatusCode
	return nil, e
}

// unreachable says why nobody answers, and what to do.
func (c *Client) unreachable(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: permission denied; be root, or a member of the socket's group", c.address)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no saslguard answers at %s; is it running?", c.address)
	}
	return fmt.Errorf("no saslguard answers at %s: %w", c.address, err)
}
