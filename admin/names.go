package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// names keeps the host names of the allowlist resolved, for people whose address
// changes (dynamic DNS). The names are entries of the ledger, durable and the same
// on all hosts; so are their addresses, which end by themselves soon after nobody
// finds them any more. Every host resolves, and writes what no other has just
// written.
//
// When a name cannot be resolved, because servers do not answer, its addresses
// stay; when it is said that there is none, they end.
type names struct {
	guard   *guard.Guard
	store   store.Ledger
	host    string
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	log     *zap.Logger
	kicked  chan struct{} // holds a token when names are to be resolved at once

	mu     sync.Mutex
	failed map[string]string // why names cannot be resolved, of which it was said
}

const (
	maxNames         = 100
	maxNameAddresses = 16 // of one name
	nameEvery        = time.Minute
	nameLife         = 15 * time.Minute // of an address that nobody finds any more
	nameTime         = 10 * time.Second // to resolve one
	nameWorkers      = 8
)

// nameRule is the rule of the addresses of a name.
func nameRule(name string) string { return "name " + name }

// run keeps names resolved until ctx ends.
func (n *names) run(ctx context.Context) {
	select {
	case <-n.guard.Synced():
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(nameEvery)
	defer tick.Stop()
	for {
		n.all(ctx)
		select {
		case <-tick.C:
		case <-n.kicked:
		case <-ctx.Done():
			return
		}
	}
}

// wake has the names resolved at once.
func (n *names) wake() {
	select {
	case n.kicked <- struct{}{}:
	default:
	}
}

// all resolves every name.
func (n *names) all(ctx context.Context) {
	entries := n.guard.Entries(isName)
	var group errgroup.Group
	group.SetLimit(nameWorkers)
	for i := range entries[:min(len(entries), maxNames)] {
		group.Go(func() error {
			name, _ := api.AccountName(entries[i].Account)
			n.say(name, n.one(ctx, name, &entries[i]))
			return nil
		})
	}
	_ = group.Wait() // each has said what went wrong
	n.unresolved()   // forgets those that are off the allowlist
}

func isName(e *store.Entry) bool {
	_, ok := api.AccountName(e.Account)
	return ok && e.Kind == store.Allow
}

// one resolves a name and lets its addresses in.
func (n *names) one(ctx context.Context, name string, entry *store.Entry) error {
	known := n.addresses(name)
	limited, cancel := context.WithTimeout(ctx, nameTime)
	found, err := n.resolve(limited, name)
	cancel()
	prefixes := n.prefixes(found)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return err
		}
		for i := range known { // nobody answers, and that says nothing of the address
			prefixes = append(prefixes, known[i].Prefix)
		}
	}
	until := time.Now().Add(nameLife)
	if !entry.Until.IsZero() && entry.Until.Before(until) {
		until = entry.Until
	}
	for _, p := range prefixes {
		if _, there := n.guard.Entry(*entry); !there {
			return nil // it was taken off while it was resolved, and its addresses with it
		}
		e := store.Entry{Kind: store.Allow, Prefix: p, Until: until, Rule: nameRule(name), By: n.host, Reason: "resolved from " + name}
		if old, there := n.guard.Entry(e); there && (old.Rule != e.Rule || time.Until(old.Until) > nameLife/2) {
			continue // an operator's own, or another host was first
		}
		// One that an operator puts there in this moment stays: the store sees to it.
		putting, cancel := context.WithTimeout(ctx, nameTime)
		_, putErr := n.store.Put(putting, e)
		cancel()
		err = errors.Join(err, putErr)
	}
	if err == nil && len(prefixes) == 0 {
		err = errors.New("it has no address that a client can have")
	}
	return err
}

// prefixes are the clients to which addresses belong.
func (n *names) prefixes(found []netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, a := range found {
		a = a.Unmap().WithZone("")
		if !a.IsGlobalUnicast() || len(all) == maxNameAddresses {
			continue // what has no sense as a client is not let in because a name server says so
		}
		client, _ := n.guard.Rules().ClientOf(a)
		all = append(all, client)
	}
	return all
}

// addresses are the addresses of a name that are in force.
func (n *names) addresses(name string) []store.Entry {
	rule := nameRule(name)
	return n.guard.Entries(func(e *store.Entry) bool { return e.Kind == store.Allow && e.Rule == rule && e.Prefix.IsValid() })
}

// dropAddresses removes the addresses of a name that was taken off the allowlist.
func (n *names) dropAddresses(ctx context.Context, name string) (at store.Position, err error) {
	for _, e := range n.addresses(name) {
		_, p, err := n.store.RemovePosition(ctx, e)
		if err != nil {
			return at, err
		}
		at = later(at, p)
	}
	return at, nil
}

// say says once that a name cannot be resolved, and once that it can again.
func (n *names) say(name string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	n.mu.Lock()
	_, before := n.failed[name]
	if err != nil {
		n.failed[name] = store.Printable(err.Error())
	} else {
		delete(n.failed, name)
	}
	n.mu.Unlock()
	switch {
	case err != nil && !before:
		n.log.Warn("a name of the allowlist cannot be resolved; it is tried again every minute", zap.String("name", name), zap.Error(err))
	case err == nil && before:
		n.log.Info("a name of the allowlist is resolved again", zap.String("name", name))
	}
}

// trouble is why a name cannot be resolved on this host; "" if it can, or was not
// looked for yet.
func (n *names) trouble(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed[name]
}

// unresolved are the names that cannot be resolved on this host, sorted. Those that
// are off the allowlist are forgotten.
func (n *names) unresolved() []string {
	there := []string{}
	for _, e := range n.guard.Entries(isName) {
		if name, _ := api.AccountName(e.Account); n.trouble(name) != "" {
			there = append(there, name)
		}
	}
	slices.Sort(there)
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.failed {
		if !slices.Contains(there, name) {
			delete(n.failed, name)
		}
	}
	return there
}

// roomForNames bounds the names of the allowlist: each is a question every minute.
func (c *Control) roomForNames(entries []store.Entry) error {
	there := map[string]bool{}
	for _, e := range c.options.Guard.Entries(isName) {
		there[e.Account] = true
	}
	for i := range entries {
		if isName(&entries[i]) {
			there[entries[i].Account] = true
		}
	}
	if len(there) > maxNames {
		return api.Wrong("entries", "there would be %d host names; allowed are at most %d", len(there), maxNames)
	}
	return nil
}

// hostName returns a host name as it is resolved (RFC 1123, 2.1).
func hostName(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	bad := fmt.Errorf("\"%s\" is no host name; allowed is one with a domain, such as home.example.org", guard.Printable(s))
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return "", bad
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }) {
			return "", bad
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", bad // it would be taken for an address
	}
	return name, nil
}
