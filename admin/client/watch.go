package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
)

const (
	// silence is how long a stream may say nothing before the server counts as
	// dead: three of its heartbeats.
	silence = 15 * time.Second
	maxLine = 64 << 10
)

// ErrSilent is returned by streams of a server that no longer says anything.
var ErrSilent = errors.New("saslguard has said nothing for " + silence.String())

// Watch is store.Ledger's: it calls f with a snapshot of the ledger, from Reset
// to Synced, and then with every change, until ctx ends, f fails or the server
// is gone, and returns why. Whoever calls goes on with what he knows and calls
// again; then a snapshot comes first. f may take its time: a reader that lags is
// given a snapshot again, and one that takes nothing for 10 seconds is dropped.
func (c *Client) Watch(ctx context.Context, f func(store.Event) error) error {
	return c.stream(ctx, api.Prefix+"/ledger/watch", func(line []byte) error {
		var e api.LedgerEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("a line of the ledger cannot be read: %w", err)
		}
		event, ok, err := e.Store()
		if err != nil {
			return fmt.Errorf("a line of the ledger cannot be used: %w", err)
		}
		if !ok {
			return nil
		}
		return f(event)
	})
}

// Acknowledge tells the daemon of this host how far its firewall agent has come.
func (c *Client) Acknowledge(ctx context.Context, a store.AgentState) error {
	var done api.Done
	return c.post(ctx, api.Prefix+"/firewall/agent", api.FromAgent(&a), &done)
}

// stream calls f with every line that comes, until something ends.
func (c *Client) stream(ctx context.Context, path string, f func(line []byte) error) error {
	streaming, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer watchdog.Stop()
	res, err := c.send(streaming, http.MethodGet, path, nil)
	if err != nil {
		return cause(streaming, err)
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	in.Buffer(make([]byte, 0, 4096), maxLine)
	for in.Scan() {
		watchdog.Stop() // what f does takes as long as it takes
		if err := f(in.Bytes()); err != nil {
			return err
		}
		watchdog.Reset(silence)
	}
	if err := in.Err(); err != nil {
		return cause(streaming, fmt.Errorf("%s: %w", c.address, err))
	}
	return cause(streaming, fmt.Errorf("%s hung up: %w", c.address, io.EOF))
}

// cause is why a stream ended: what ended its context comes first.
func cause(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	return err
}
