package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
)

// unban lifts bans: exactly those that are named, or all.
func (c *Control) unban(ctx context.Context, who *caller, in *api.RemoveRequest) (*api.Changes, error) {
	if in.All && len(in.Targets) > 0 {
		return c.refuse(who, "unban", api.Wrong("all", "is set, and there are targets; allowed is either"))
	}
	targets, err := c.targets(in, store.OperatorBan)
	if in.All {
		targets, err = c.everyBan(), nil
	}
	if err != nil {
		return c.refuse(who, "unban", err)
	}
	return c.remove(ctx, who, in, targets, func(ctx context.Context, e store.Entry) (api.Change, store.Position, error) {
		e.By, e.Reason = who.name, in.Reason
		return c.lift(ctx, e, in.KeepScore, len(targets))
	}, store.OperatorBan)
}

// disallow takes entries off the allowlist.
func (c *Control) disallow(ctx context.Context, who *caller, in *api.RemoveRequest) (*api.Changes, error) {
	if in.All || in.KeepScore {
		return c.refuse(who, "disallow", api.Wrong("all", "all and keep_score are for bans; allowed are targets"))
	}
	targets, err := c.targets(in, store.Allow)
	if err != nil {
		return c.refuse(who, "disallow", err)
	}
	return c.remove(ctx, who, in, targets, func(ctx context.Context, e store.Entry) (api.Change, store.Position, error) {
		e.By, e.Reason = who.name, join("taken off the allowlist", in.Reason)
		return c.takeOff(ctx, e, len(targets))
	}, store.Allow)
}

// refuse notes that nothing was changed, and why.
func (c *Control) refuse(who *caller, action string, err error) (*api.Changes, error) {
	c.audit(who, action, nil, false, err)
	return nil, err
}

// remove removes what is named, and waits until it is known.
func (c *Control) remove(ctx context.Context, who *caller, in *api.RemoveRequest, targets []store.Entry,
	one func(context.Context, store.Entry) (api.Change, store.Position, error), kind store.EntryKind) (*api.Changes, error) {
	wait, err := waiting(in.Wait)
	if err == nil {
		err = checkReason(in.Reason)
	}
	if err != nil {
		return c.refuse(who, actionOf(kind, false), err)
	}
	out := c.changes()
	positions := make([]store.Position, len(targets))
	out.Changes = make([]api.Change, len(targets))
	failed := c.each(ctx, len(targets), func(ctx context.Context, i int) error {
		change, at, err := one(ctx, targets[i])
		if err != nil {
			change = api.Change{Target: nameOf(&targets[i]), Note: err.Error()}
		}
		out.Changes[i], positions[i] = change, at
		return err
	})
	done := targets[:0:0]
	for i := range targets {
		if out.Changes[i].Done {
			targets[i].Reason = in.Reason
			done = append(done, targets[i])
		}
	}
	c.audit(who, actionOf(kind, false), done, false, failed)
	c.tellOfMany(kind, false, len(targets), who, in.Reason)
	if failed != nil {
		return nil, c.halfway(failed, out.Changes)
	}
	if len(done) > 0 {
		c.acknowledged(ctx, out, positions, wait)
	}
	return out, nil
}

// targets are what a request names, as entries of a kind.
func (c *Control) targets(in *api.RemoveRequest, kind store.EntryKind) ([]store.Entry, error) {
	if len(in.Targets) == 0 || len(in.Targets) > api.MaxEntries {
		return nil, api.Wrong("targets", "has %d targets; allowed are 1 to %d", len(in.Targets), api.MaxEntries)
	}
	all := make([]store.Entry, 0, len(in.Targets))
	seen := make(map[string]int, len(in.Targets))
	for i, t := range in.Targets {
		e := store.Entry{Kind: kind}
		if field, err := c.name(&e, t.Prefix, t.Account, t.Name); err != nil {
			return nil, api.Wrong(fmt.Sprintf("targets[%d].%s", i, field), "%v", err)
		}
		if first, twice := seen[nameOf(&e)]; twice {
			return nil, api.Wrong(fmt.Sprintf("targets[%d]", i), "%s is targets[%d] already; allowed is once", nameOf(&e), first)
		}
		seen[nameOf(&e)] = i
		if err := e.CheckName(); err != nil {
			return nil, api.Wrong(fmt.Sprintf("targets[%d]", i), "%s", strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
		}
		all = append(all, e)
	}
	return all, nil
}

// everyBan is every prefix and account that is banned, each once.
func (c *Control) everyBan() []store.Entry {
	var all []store.Entry
	seen := map[string]bool{}
	for _, e := range c.options.Guard.Entries(func(e *store.Entry) bool { return e.Kind != store.Allow }) {
		if name := nameOf(&e); !seen[name] {
			seen[name] = true
			all = append(all, store.Entry{Kind: store.OperatorBan, Prefix: e.Prefix, Account: e.Account})
		}
	}
	return all
}

// ruleKeepScore is the rule of the event of a ban that was lifted while its score
// stays.
const ruleKeepScore = "keep-score"

// lift lifts the bans of exactly one prefix or account, and drops its score.
func (c *Control) lift(ctx context.Context, target store.Entry, keepScore bool, n int) (change api.Change, at store.Position, err error) {
	change = api.Change{Target: nameOf(&target)}
	for _, kind := range []store.EntryKind{store.OperatorBan, store.AutomaticBan} {
		target.Kind = kind
		was, known := c.options.Guard.Entry(target)
		found, p, err := c.options.Store.RemovePosition(ctx, target)
		if err != nil {
			return change, at, err
		}
		at = later(at, p)
		if !found {
			continue
		}
		change.Done = true
		if known {
			entry := api.FromEntry(&was)
			change.Entry = &entry
		}
		lifted := target
		if keepScore {
			lifted.Rule = ruleKeepScore
		}
		c.tell(kind, false, &lifted, n)
	}
	if !change.Done {
		change.Note = c.whyNotBanned(&target)
		return change, at, nil
	}
	if !keepScore {
		change.Note, err = c.forgetScore(ctx, &target)
	}
	if wider := c.options.Guard.Covers(target.Prefix); target.Prefix.IsValid() && len(wider) > 0 {
		change.Note = join(change.Note, "still banned as "+whose(&wider[0]))
	}
	return change, at, err
}

// forgetScore drops what a client or an account owes, so that the next wrong
// password is a first one.
func (c *Control) forgetScore(ctx context.Context, target *store.Entry) (note string, err error) {
	if target.Account != "" {
		return "", nil // its score bans nobody; forget drops it, with all that is known of it
	}
	client, _ := c.options.Guard.Rules().ClientOf(target.Prefix.Addr())
	switch {
	case target.Prefix == client:
		return laterNote(c.options.Store.ForgetClient(ctx, client))
	case target.Prefix.Bits() > client.Bits():
		return fmt.Sprintf("the score of %s, to which it belongs, stays", client), nil
	}
	return "the scores of the clients in it stay; unban each to drop its own", nil
}

// laterNote turns into words that the other hosts will do it later.
func laterNote(err error) (note string, other error) {
	if errors.Is(err, failover.ErrLater) {
		return "the other hosts forget it when Redis answers", nil
	}
	return "", err
}

// whyNotBanned says what is banned instead, since nothing else is lifted by
// accident.
func (c *Control) whyNotBanned(target *store.Entry) string {
	if !target.Prefix.IsValid() {
		return "not blocked"
	}
	if wider := c.options.Guard.Covers(target.Prefix); len(wider) > 0 {
		return "not banned itself, but within " + whose(&wider[0]) + "; to lift that: saslguard unban " + wider[0].Prefix.String()
	}
	inside := c.options.Guard.Entries(func(e *store.Entry) bool {
		return e.Kind != store.Allow && e.Prefix.IsValid() && contains(target.Prefix, e.Prefix)
	})
	if n := len(inside); n > 0 {
		return fmt.Sprintf("not banned itself, but %d within it are, such as %s; saslguard bans --within %s lists them", n, inside[0].Prefix, target.Prefix)
	}
	return "not banned"
}

// whose is a ban in words.
func whose(e *store.Entry) string {
	until := "permanently"
	if !e.Until.IsZero() {
		until = "until " + e.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s, banned by %s %s", e.Prefix, e.By, until)
}

// takeOff takes exactly one entry off the allowlist.
func (c *Control) takeOff(ctx context.Context, target store.Entry, n int) (change api.Change, at store.Position, err error) {
	change = api.Change{Target: nameOf(&target)}
	was, known := c.options.Guard.Entry(target)
	found, at, err := c.options.Store.RemovePosition(ctx, target)
	if err != nil {
		return change, at, err
	}
	change.Done = found
	if known {
		entry := api.FromEntry(&was)
		change.Entry = &entry
	}
	if !found {
		change.Note = c.whyNotAllowed(target.Prefix)
		return change, at, nil
	}
	c.tell(store.Allow, false, &target, n)
	if name, ok := api.AccountName(target.Account); ok {
		at2, err := c.names.dropAddresses(ctx, name)
		return change, later(at, at2), err
	}
	return change, at, nil
}

func (c *Control) whyNotAllowed(p netip.Prefix) string {
	if p.IsValid() && c.options.Guard.Rules().Allowed(p) {
		return "it is in rules.allow_clients of the configuration: change it there and reload"
	}
	return "not on the allowlist"
}

func later(a, b store.Position) store.Position {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}
