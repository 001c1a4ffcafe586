package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// ban bans what an operator names.
func (c *Control) ban(ctx context.Context, who *caller, in *api.PutRequest) (*api.Changes, error) {
	return c.put(ctx, who, in, store.OperatorBan)
}

// allow puts what an operator names on the allowlist.
func (c *Control) allow(ctx context.Context, who *caller, in *api.PutRequest) (*api.Changes, error) {
	return c.put(ctx, who, in, store.Allow)
}

// put makes entries of a kind. All are checked before the first is made.
func (c *Control) put(ctx context.Context, who *caller, in *api.PutRequest, kind store.EntryKind) (*api.Changes, error) {
	entries, wait, err := c.checked(who, in, kind)
	if err != nil {
		c.audit(who, actionOf(kind, true), entries, in.Force, err)
		return nil, err
	}
	out := c.changes()
	positions := make([]store.Position, len(entries))
	out.Changes = make([]api.Change, len(entries))
	failed := c.each(ctx, len(entries), func(ctx context.Context, i int) error {
		got, at, err := c.options.Store.PutPosition(ctx, entries[i])
		if err != nil {
			out.Changes[i] = api.Change{Target: nameOf(&entries[i]), Note: err.Error()}
			return err
		}
		entry := api.FromEntry(&got)
		positions[i], out.Changes[i] = at, api.Change{Target: nameOf(&got), Done: true, Entry: &entry}
		c.tell(kind, true, &got, len(entries))
		return nil
	})
	c.tellOfMany(kind, true, len(entries), who, in.Entries[0].Reason)
	c.audit(who, actionOf(kind, true), entries, in.Force, failed)
	if failed != nil {
		return nil, c.halfway(failed, out.Changes)
	}
	if kind == store.Allow {
		c.names.wake()
	}
	c.warn(out, entries, kind)
	c.acknowledged(ctx, out, positions, wait)
	return out, nil
}

// checked makes the entries of a request, or says why nothing is to be done.
func (c *Control) checked(who *caller, in *api.PutRequest, kind store.EntryKind) (entries []store.Entry, wait time.Duration, err error) {
	if entries, err = c.entries(who, in, kind); err != nil {
		return nil, 0, err
	}
	if wait, err = waiting(in.Wait); err != nil {
		return entries, 0, err
	}
	if kind == store.OperatorBan {
		err = c.safe(entries, in)
	} else {
		err = c.roomForNames(entries)
	}
	return entries, wait, err
}

// putWorkers put entries side by side: those of one moment share a write of the
// disk, and round trips overlap.
const putWorkers = 32

// each calls f for every index, and returns the first error. After an error no
// more are begun.
func (c *Control) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putWorkers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return f(ctx, i) })
	}
	return group.Wait()
}

// halfway is the error of changes of which the store did not take all.
func (c *Control) halfway(err error, changes []api.Change) error {
	done := 0
	for i := range changes {
		if changes[i].Done {
			done++
		}
	}
	var own *api.Error
	if errors.As(err, &own) {
		return own
	}
	status, code := http.StatusServiceUnavailable, api.Unavailable
	if errors.Is(err, store.ErrInvalid) && done == 0 {
		status, code = http.StatusBadRequest, api.Invalid
	}
	text := err.Error()
	if errors.Is(err, store.ErrFull) {
		text = "there are as many entries as the configuration allows (store.bans, redis.max_entries)"
	}
	return api.Errorf(status, code, "%d of %d were done, then: %s; to say it again does no harm", done, len(changes), text)
}

// unavailable is the error of a store that does not do what it should.
func unavailable(err error) error {
	return api.Errorf(http.StatusServiceUnavailable, api.Unavailable, "%v", err)
}

// entries makes the entries of a request, or says which of them is wrong.
func (c *Control) entries(who *caller, in *api.PutRequest, kind store.EntryKind) ([]store.Entry, error) {
	if len(in.Entries) == 0 || len(in.Entries) > api.MaxEntries {
		return nil, api.Wrong("entries", "has %d entries; allowed are 1 to %d", len(in.Entries), api.MaxEntries)
	}
	entries := make([]store.Entry, 0, len(in.Entries))
	seen := make(map[string]int, len(in.Entries))
	now := time.Now()
	for i := range in.Entries {
		e, field, err := c.entry(&in.Entries[i], kind, now)
		at := fmt.Sprintf("entries[%d]", i)
		if err != nil {
			return nil, api.Wrong(at+"."+field, "%v", err)
		}
		e.By = who.name
		if err := e.Check(); err != nil {
			return nil, api.Wrong(at, "%s", strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
		}
		if first, twice := seen[nameOf(&e)]; twice {
			return nil, api.Wrong(at, "%s is entries[%d] already; allowed is once", nameOf(&e), first)
		}
		seen[nameOf(&e)] = i
		entries = append(entries, e)
	}
	return entries, nil
}

// The shortest prefixes that are banned without force: more is half the world.
const (
	wide4 = 8
	wide6 = 16
)

// safe refuses bans by which an operator would lock out himself or half the
// world: an operator's ban beats the allowlist.
func (c *Control) safe(entries []store.Entry, in *api.PutRequest) error {
	protect, err := addresses(in.Protect)
	if err != nil || in.Force {
		return err
	}
	for i := range entries {
		p := entries[i].Prefix
		if !p.IsValid() {
			continue
		}
		why := ""
		switch {
		case p.Bits() < wide4 || p.Addr().Is6() && p.Bits() < wide6:
			why = "covers a large part of the internet"
		case p.Overlaps(loopback4) || p.Overlaps(loopback6):
			why = "covers loopback: this host's own programs and webmail"
		case c.options.Guard.Own(p):
			why = "covers an address of this host"
		}
		for _, a := range protect {
			if why == "" && p.Contains(a) {
				why = fmt.Sprintf("covers %s, from which you are logged in", a)
			}
		}
		if why != "" {
			e := api.Errorf(http.StatusConflict, api.Unsafe, "%s %s; an operator's ban beats the allowlist, so it is made only with force", p, why)
			e.Field = fmt.Sprintf("entries[%d].prefix", i)
			return e
		}
	}
	return nil
}

func addresses(texts []string) ([]netip.Addr, error) {
	if len(texts) > 16 {
		return nil, api.Wrong("protect", "has %d addresses; allowed are at most 16", len(texts))
	}
	var all []netip.Addr
	for i, s := range texts {
		p, err := guard.ParsePrefix(s)
		if err != nil || !p.IsSingleIP() {
			return nil, api.Wrong(fmt.Sprintf("protect[%d]", i), "\"%s\" is no address", guard.Printable(s))
		}
		all = append(all, p.Addr())
	}
	return all, nil
}

// The addresses by which a host speaks to itself.
var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// manyEvents is from how many on changes of one request are told as one event:
// an import must not push everything else out of the log.
const manyEvents = 100

// tell puts one of n changes that an operator made into the log of events.
func (c *Control) tell(kind store.EntryKind, put bool, e *store.Entry, n int) {
	if n < manyEvents {
		event := eventlog.FromEntry(eventKind(kind, put), time.Now(), c.options.Host, e)
		if name, ok := api.AccountName(event.Account); ok {
			event.Account = name
		}
		c.options.Events.Add(event)
		if put && kind == store.OperatorBan && c.options.Banned != nil {
			c.options.Banned(*e)
		}
	}
}

// tellOfMany puts n changes of one request into the log of events.
func (c *Control) tellOfMany(kind store.EntryKind, put bool, n int, who *caller, reason string) {
	if n >= manyEvents {
		c.options.Events.Add(eventlog.Event{
			At: time.Now(), Kind: eventKind(kind, put), Host: c.options.Host, Count: n, By: who.name, Reason: reason,
		})
	}
}

func eventKind(kind store.EntryKind, put bool) eventlog.Kind {
	switch {
	case kind == store.Allow:
		return eventlog.Allow
	case put:
		return eventlog.Ban
	}
	return eventlog.Unban
}
