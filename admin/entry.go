package admin

import (
	"errors"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// entry makes an entry, or says which field is wrong.
func (c *Control) entry(in *api.NewEntry, kind store.EntryKind, now time.Time) (e store.Entry, field string, err error) {
	e = store.Entry{Kind: kind, Reason: in.Reason}
	if field, err = c.name(&e, in.Prefix, in.Account, in.Name); err != nil {
		return e, field, err
	}
	said := 0
	if in.Permanent {
		said++
	}
	if in.Seconds != 0 {
		said++
		if in.Seconds < 1 || in.Seconds > maxSeconds {
			return e, "seconds", fmt.Errorf("is %d; allowed is 1 to %d (ten years), or permanent", in.Seconds, maxSeconds)
		}
		e.Until = now.Add(time.Duration(in.Seconds) * time.Second)
	}
	if in.Until != "" {
		said++
		if e.Until, err = time.Parse(time.RFC3339, in.Until); err != nil {
			return e, "until", errors.New("is no time; allowed is RFC 3339, such as 2026-12-01T00:00:00Z")
		}
		if !e.Until.After(now) || e.Until.After(now.Add(maxSeconds*time.Second)) {
			return e, "until", fmt.Errorf("is %s; allowed is a time in the next ten years", e.Until.Format(time.RFC3339))
		}
	}
	if said != 1 {
		return e, "seconds", fmt.Errorf("%d of seconds, until and permanent are set; allowed is exactly one", said)
	}
	return e, "", nil
}

const maxSeconds = 10 * 366 * 24 * 3600

// name gives an entry what it is about, or says which field is wrong.
func (c *Control) name(e *store.Entry, prefix, account, name string) (field string, err error) {
	said := 0
	for _, s := range []string{prefix, account, name} {
		if s != "" {
			said++
		}
	}
	if said != 1 {
		return "prefix", fmt.Errorf("%d of prefix, account and name are set; allowed is exactly one", said)
	}
	switch {
	case prefix != "":
		e.Prefix, err = guard.ParsePrefix(prefix)
		if err == nil && e.Kind == store.Allow && e.Prefix.Bits() == 0 {
			err = fmt.Errorf("%s allows every client there is; allowed are prefixes of at least /1", e.Prefix)
		}
		return "prefix", err
	case account != "":
		if len(account) > store.MaxAccount {
			return "account", fmt.Errorf("has %d octets; allowed are at most %d", len(account), store.MaxAccount)
		}
		e.Account = c.options.Guard.Rules().Account(account)
		return "account", nil
	case e.Kind != store.Allow:
		return "name", errors.New("a host name can only be on the allowlist: whom it stands for tomorrow, nobody knows; allowed is a prefix or an account")
	}
	host, err := hostName(name)
	e.Account = api.NameAccount(host)
	return "name", err
}

// nameOf is what an entry is about, for people.
func nameOf(e *store.Entry) string {
	if e.Prefix.IsValid() {
		return e.Prefix.String()
	}
	if name, ok := api.AccountName(e.Account); ok {
		return name
	}
	return e.Account
}
