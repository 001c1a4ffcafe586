package admin

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// maxWarnings bounds the warnings of one request.
const maxWarnings = 100

// changes is an answer to be filled.
func (c *Control) changes() *api.Changes {
	return &api.Changes{Changes: []api.Change{}, Warnings: []string{}, Hosts: []api.Ack{}, Mode: c.mode()}
}

func (c *Control) mode() string {
	if c.options.Guard.Rules().Enforce() {
		return "enforce"
	}
	return "observe"
}

// warn says what whoever made entries would want to know.
func (c *Control) warn(out *api.Changes, entries []store.Entry, kind store.EntryKind) {
	say := func(format string, args ...any) {
		if len(out.Warnings) < maxWarnings {
			out.Warnings = append(out.Warnings, fmt.Sprintf(format, args...))
		}
	}
	if kind == store.OperatorBan && out.Mode == "observe" {
		say("%s observes: the ban is recorded, and refuses nobody there until mode is enforce", c.options.Host)
	}
	var others []store.Entry
	if len(entries) <= 1000 { // each is compared with all
		others = c.options.Guard.Entries(func(e *store.Entry) bool { return e.Prefix.IsValid() })
	}
	for i := range entries {
		if e := &entries[i]; kind == store.OperatorBan {
			c.warnOfBan(e, others, say)
		} else {
			c.warnOfAllow(e, others, say)
		}
	}
}

func (c *Control) warnOfBan(e *store.Entry, others []store.Entry, say func(string, ...any)) {
	rules := c.options.Guard.Rules()
	if e.Account != "" {
		if _, ok := c.options.Guard.Entry(store.Entry{Kind: store.Allow, Account: e.Account}); ok {
			say("%s is on the allowlist; an operator's ban comes before it", guard.Printable(e.Account))
		}
		return
	}
	if rules.AllowsWithin(e.Prefix) {
		say("%s covers addresses of rules.allow_clients; an operator's ban comes before the allowlist", e.Prefix)
	}
	for i := range others {
		if o := &others[i]; o.Kind == store.Allow && o.Prefix.Overlaps(e.Prefix) {
			say("%s covers %s, which is on the allowlist (by %s%s); an operator's ban comes before it", e.Prefix, o.Prefix, o.By, because(o))
		}
	}
	if e.Prefix.IsSingleIP() && e.Prefix.Addr().Is6() {
		if client, _ := rules.ClientOf(e.Prefix.Addr()); client != e.Prefix {
			say("%s is one address; whoever has it has all of %s", e.Prefix, client)
		}
	}
}

func (c *Control) warnOfAllow(e *store.Entry, others []store.Entry, say func(string, ...any)) {
	if e.Account != "" {
		if ban, ok := c.options.Guard.Entry(store.Entry{Kind: store.OperatorBan, Account: e.Account}); ok {
			say("%s stays blocked by %s%s: an operator's ban comes before the allowlist", guard.Printable(e.Account), ban.By, because(&ban))
		}
		return
	}
	var cancelled []netip.Prefix
	for i := range others {
		o := &others[i]
		switch {
		case o.Kind == store.OperatorBan && o.Prefix.Overlaps(e.Prefix):
			say("%s stays banned by %s%s: an operator's ban comes before the allowlist; saslguard unban %s", o.Prefix, o.By, because(o), o.Prefix)
		case o.Kind == store.AutomaticBan && o.Prefix.Overlaps(e.Prefix):
			cancelled = append(cancelled, o.Prefix)
		}
	}
	slices.SortFunc(cancelled, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	if n := len(cancelled); n > 0 {
		say("%s cancels %d automatic bans while it lasts: %v%s", e.Prefix, n, cancelled[:min(n, 5)], map[bool]string{true: " and more"}[n > 5])
	}
}

func because(e *store.Entry) string {
	if e.Reason == "" {
		return ""
	}
	return ": " + e.Reason
}
