package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newWatch() *cobra.Command {
	var r remote
	var q api.EventsQuery
	var last int
	c := &cobra.Command{
		Use:   "watch",
		Short: "Watch attempts, verdicts and bans as they happen",
		Long: `Shows what happens on all hosts, until it is interrupted: attempts as they are
reported, verdicts that are no pass, bans made and lifted. Of what one client repeats,
only the first twenty in a minute are shown one by one. Where clients are from is shown
as far as it is known already (enrich:). -o json is one object a line,
with the fields of GET /v1/events. When the connection is lost it is made again, and
said on standard error.`,
		Example: `  saslguard watch
  saslguard watch --kind ban --kind unban
  saslguard watch --within 192.0.2.0/24 --action refuse
  saslguard watch --account alice@example.org -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			show := func(e api.Event) error { return showEvent(c.OutOrStdout(), &r, &e) }
			if last > 0 {
				before := q
				before.Limit = last
				h, err := cl.Events(ctx, before)
				if err != nil {
					return err
				}
				for _, e := range h.Events {
					if err := show(e); err != nil {
						return err
					}
				}
			}
			return again(ctx, c.ErrOrStderr(), func(ctx context.Context) error { return cl.WatchEvents(ctx, q, show) })
		},
	}
	r.flags(c, "table", "json")
	f := c.Flags()
	f.StringVar(&q.Within, "within", "", "only clients inside of this `prefix`")
	f.StringVar(&q.Account, "account", "", "only this `account`")
	f.StringSliceVar(&q.Kind, "kind", nil, "only these `kinds`: verdict, attempt, ban, unban, allow, brake")
	f.StringSliceVar(&q.Action, "action", nil, "only these `actions`, done or observed: pass, tarpit, refuse")
	f.IntVar(&last, "last", 0, "begin with so `many` of the latest events")
	return c
}

// errOutput is of an output that takes nothing more, such as a pipe to head.
var errOutput = errors.New("the output was closed")

// again watches until ctx ends; a connection that was lost is made again.
func again(ctx context.Context, stderr io.Writer, watch func(context.Context) error) error {
	const first, longest = 500 * time.Millisecond, 10 * time.Second
	pause := first
	for connected := false; ; {
		began := time.Now()
		err := watch(ctx)
		var refused *api.Error
		switch {
		case ctx.Err() != nil:
			return nil // that is how a watch ends
		case errors.As(err, &refused) && refused.Code != api.Busy, errors.Is(err, errOutput), !connected && time.Since(began) < first:
			return err
		}
		connected = true
		if time.Since(began) > longest {
			pause = first
		}
		fmt.Fprintf(stderr, "saslguard: %v; trying again\n", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longest)
	}
}

// showEvent writes an event in a line.
func showEvent(w io.Writer, r *remote, e *api.Event) error {
	if e.Kind == "heartbeat" {
		return nil
	}
	if r.output == "json" {
		line := json.NewEncoder(w)
		line.SetEscapeHTML(false)
		if line.Encode(e) != nil {
			return errOutput
		}
		return nil
	}
	row := eventRow(e)
	if e.From != "" {
		row = append(row, "("+e.From+")")
	}
	if _, err := fmt.Fprintln(w, strings.Join(row, "  ")); err != nil {
		return errOutput
	}
	return nil
}
