//go:build linux

package nftables

import (
	"context"
	"fmt"
	"slices"

	"github.com/saslguard/saslguard/firewall"
)

// Intact implements firewall.Backend. While nobody has changed anything in
// nftables, one question answers it.
func (b *Backend) Intact(ctx context.Context) (missing string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if b.inForce == nil {
		return "the table", nil
	}
	g, err := b.generation()
	if err != nil || g == b.seen {
		return "", err
	}
	missing, err = b.missing()
	if err == nil && missing == "" {
		b.seen = g // what has changed since is seen the next time
	}
	return missing, err
}

// missing looks for all that the table consists of, and for a canary in each set.
func (b *Backend) missing() (string, error) {
	have, err := b.rules()
	if gone(err) {
		return "the table", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for the rules: %w", err)
	}
	if len(have) == 0 {
		return "the table", nil
	}
	for _, chain := range b.inForce.chains() {
		for _, handle := range b.handles[chain] {
			if !slices.Contains(have[chain], handle) {
				return "a rule of the chain " + chain, nil
			}
		}
	}
	for _, chain := range b.inForce.hooks {
		if there, err := b.hooked(chain); err != nil || !there {
			return "the chain " + chain, err
		}
	}
	for set := range firewall.Sets {
		if there, err := b.hasCanary(set); err != nil || !there {
			return "what the set " + set.String() + " held", err
		}
	}
	return "", nil
}
