package admin

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
)

// addressBook is where the names of a test are looked up. It knows home.example.org,
// or, when it is down, nothing at all.
type addressBook struct {
	mu   sync.Mutex
	home []netip.Addr
	down bool
}

func (b *addressBook) set(down bool, home ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.home, b.down = nil, down
	for _, a := range home {
		b.home = append(b.home, netip.MustParseAddr(a))
	}
}

func (b *addressBook) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	case host != "home.example.org" || len(b.home) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return b.home, nil
}

func TestHostNamesOfTheAllowlist(t *testing.T) {
	w := newWorld(t)
	w.names.set(false, "192.0.2.1", "2001:db8:1:2::77", "0.0.0.0", "224.0.0.1", "::1")
	ctx := t.Context()
	out, err := w.client.Allow(ctx, api.PutRequest{Entries: []api.NewEntry{{Name: "Home.Example.ORG.", Permanent: true, Reason: "alice"}}, Wait: 5})
	if err != nil || len(out.Changes) != 1 || out.Changes[0].Entry.Name != "home.example.org" || out.Changes[0].Target != "home.example.org" {
		t.Fatalf("%+v, %v", out, err)
	}
	listed := func() map[string]api.Entry {
		t.Helper()
		out, err := w.client.Allowed(ctx, api.BansQuery{})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]api.Entry{}
		for _, e := range out.Entries {
			all[e.Prefix+e.Account+e.Name] = e
		}
		return all
	}
	resolve := func() {
		w.control.names.all(ctx)
		w.follow()
	}
	resolve()
	all := listed()
	if len(all) != 3 || all["home.example.org"].Until != nil || all["192.0.2.1/32"].Rule != "name home.example.org" || all["2001:db8:1:2::/64"].By != "mx1" {
		t.Fatalf("listed: %+v", all)
	}
	if left := time.Until(*all["192.0.2.1/32"].Until); left > nameLife || left < nameLife-time.Minute {
		t.Errorf("an address lasts %v", left)
	}
	// An operator's own entry is his.
	if _, err := w.client.Allow(ctx, api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.9", Permanent: true}}}); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.names.set(false, "192.0.2.9")
	resolve()
	if e := listed()["192.0.2.9/32"]; e.Until != nil || e.Rule != "" {
		t.Errorf("an operator's entry was replaced: %+v", e)
	}
	// While servers do not answer, the addresses stay.
	old := listed()["192.0.2.1/32"]
	if _, err := w.store.Put(ctx, store.Entry{Kind: store.Allow, Prefix: netip.MustParsePrefix("192.0.2.1/32"), Rule: old.Rule, By: "mx2", Until: time.Now().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.names.set(true)
	resolve()
	if e := listed()["192.0.2.1/32"]; e.Until == nil || time.Until(*e.Until) < nameLife-time.Minute {
		t.Errorf("an address ended because no server answered: %+v", e)
	}
	removed, err := w.client.Disallow(ctx, api.RemoveRequest{Targets: []api.Target{{Name: "home.example.org"}}, Wait: 5})
	if err != nil || !removed.Changes[0].Done {
		t.Fatalf("%+v, %v", removed, err)
	}
	w.follow()
	if all := listed(); len(all) != 1 {
		t.Errorf("left are %+v", all)
	}
	// Whoever was being resolved meanwhile does not come back.
	w.names.set(false, "192.0.2.7")
	if err := w.control.names.one(ctx, "home.example.org", &store.Entry{Kind: store.Allow, Account: api.NameAccount("home.example.org")}); err != nil {
		t.Error(err)
	}
	w.follow()
	if all := listed(); len(all) != 1 {
		t.Errorf("a name that is off the allowlist has let in %+v", all)
	}
	// Those who look on are told of names, not of how the ledger keeps them.
	h, err := w.client.Events(ctx, api.EventsQuery{Kind: []string{"allow"}})
	if last := h.Events[len(h.Events)-1]; err != nil || last.Account != "home.example.org" || last.Reason != "taken off the allowlist" {
		t.Errorf("%+v, %v", last, err)
	}
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{
		"home.example.org": "home.example.org", "HOME.example.org.": "home.example.org", "a-b.de": "a-b.de",
		"localhost": "", "": "", ".": "", "a..b": "", "-a.de": "", "a.de-": "", "192.0.2.1": "", "1.2": "", "a b.de": "", "ü.de": "", "a_b.de": "",
	} {
		if got, err := hostName(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
