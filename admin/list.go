package admin

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

const (
	defaultLimit = 1000
	maxLimit     = 1_000_000
)

// bans lists the bans.
func (c *Control) bans(_ context.Context, _ *caller, q *api.BansQuery) (*api.Entries, error) {
	switch api.Kind(q.Kind) {
	case "", api.OperatorBan, api.AutomaticBan:
	default:
		return nil, api.Wrong("kind", "\"%s\" is not known; allowed is %s or %s", guard.Printable(q.Kind), api.OperatorBan, api.AutomaticBan)
	}
	return c.list(q, func(e *store.Entry) bool { return e.Kind != store.Allow })
}

// allowed lists the allowlist: of the configuration, and of the ledger.
func (c *Control) allowed(_ context.Context, _ *caller, q *api.BansQuery) (*api.Entries, error) {
	if q.Kind != "" {
		return nil, api.Wrong("kind", "an allowlist has one kind of entries only; allowed is nothing")
	}
	return c.list(q, func(e *store.Entry) bool { return e.Kind == store.Allow })
}

// list lists entries of the ledger.
func (c *Control) list(q *api.BansQuery, of func(*store.Entry) bool) (*api.Entries, error) {
	want, err := c.wanted(q)
	if err != nil {
		return nil, err
	}
	order, err := orderOf(q.Sort)
	if err != nil {
		return nil, err
	}
	limit, err := within("limit", q.Limit, defaultLimit, maxLimit)
	if err != nil {
		return nil, err
	}
	all := c.options.Guard.Entries(func(e *store.Entry) bool { return of(e) && want(e) })
	slices.SortFunc(all, order)
	out := &api.Entries{Total: len(all), Mode: c.mode(), Entries: []api.Entry{}}
	for i := range all[:min(limit, len(all))] {
		entry := api.FromEntry(&all[i])
		entry.From = c.origin(all[i].Prefix)
		if entry.Name != "" {
			entry.Unresolved = c.names.trouble(entry.Name)
		}
		out.Entries = append(out.Entries, entry)
	}
	return out, nil
}

// wanted is the filter of a query.
func (c *Control) wanted(q *api.BansQuery) (func(*store.Entry) bool, error) {
	inside, err := prefixOf("within", q.Within)
	if err != nil {
		return nil, err
	}
	covered, err := prefixOf("containing", q.Containing)
	if err != nil {
		return nil, err
	}
	if q.Age < 0 {
		return nil, api.Wrong("age", "is %d; allowed are seconds", q.Age)
	}
	account := c.options.Guard.Rules().Account(q.Account)
	after := time.Now().Add(-time.Duration(q.Age) * time.Second)
	return func(e *store.Entry) bool {
		switch {
		case inside.IsValid() && !(e.Prefix.IsValid() && contains(inside, e.Prefix)),
			covered.IsValid() && !(e.Prefix.IsValid() && contains(e.Prefix, covered)),
			account != "" && e.Account != account,
			q.Kind != "" && api.KindOf(e.Kind) != api.Kind(q.Kind),
			q.Rule != "" && e.Rule != q.Rule,
			q.By != "" && e.By != q.By,
			q.Age > 0 && e.Since.Before(after):
			return false
		}
		return true
	}, nil
}

// contains tells whether every address of the inner prefix is in the outer one.
func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func prefixOf(field, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	p, err := guard.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, api.Wrong(field, "%v", err)
	}
	return p, nil
}

// within is a number of a request: the usual one where nothing was said.
func within(field string, n, usual, most int) (int, error) {
	if n == 0 {
		return usual, nil
	}
	if n < 1 || n > most {
		return 0, api.Wrong(field, "is %d; allowed is 1 to %d", n, most)
	}
	return n, nil
}

// orderOf is how entries are sorted. Of equal ones the name decides, so that the
// same question has the same answer.
func orderOf(sort string) (func(a, b store.Entry) int, error) {
	byName := func(a, b store.Entry) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.Kind, b.Kind))
	}
	switch sort {
	case "", "since":
		return func(a, b store.Entry) int { return cmp.Or(b.Since.Compare(a.Since), byName(a, b)) }, nil
	case "until":
		return func(a, b store.Entry) int {
			if a.Until.IsZero() != b.Until.IsZero() {
				if a.Until.IsZero() {
					return 1 // permanent is last
				}
				return -1
			}
			return cmp.Or(a.Until.Compare(b.Until), byName(a, b))
		}, nil
	case "prefix":
		return byName, nil
	case "times":
		return func(a, b store.Entry) int { return cmp.Or(cmp.Compare(b.Times, a.Times), byName(a, b)) }, nil
	}
	return nil, api.Wrong("sort", "\"%s\" is not known; allowed is since, until, prefix or times", guard.Printable(sort))
}
