package admin

import (
	"context"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
)

// watchLedger tells the bans and the allowlist, and then every change. A reader
// that lags is given a snapshot again by the ledger, so nothing grows for it.
func (c *Control) watchLedger(ctx context.Context, _ *struct{}, l *lines) error {
	snapshot := false
	return c.options.Store.Watch(ctx, func(e store.Event) error {
		switch e.Kind {
		case store.Reset:
			snapshot = true
		case store.Synced:
			snapshot = false
		}
		return l.write(api.FromEvent(&e), !snapshot)
	})
}

// takeAgent takes what the firewall agent of this host says of itself.
func (c *Control) takeAgent(_ context.Context, _ *caller, in *api.Agent) (*api.Done, error) {
	state, err := in.Store()
	if err != nil {
		return nil, api.Wrong("position", "%v", err)
	}
	if state.Backend == "" || state.State == "" {
		return nil, api.Wrong("backend", "backend and state are needed")
	}
	c.options.TakeAgent(state)
	return &api.Done{OK: true}, nil
}
