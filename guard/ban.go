package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// wish is a ban that an attempt has earned.
type wish struct {
	prefix netip.Prefix
	at     time.Time
	rule   Rule
	why    string
}

// wished returns the ban of the client, or of its network, if this attempt took
// it to the ban score.
func (g *Guard) wished(who *identity, op *store.Op, st *store.Standing, r *Rules) (wish, bool) {
	if !who.client.IsValid() || who.exemptClient {
		return wish{}, false
	}
	if n := r.score.Network.Ban; n > 0 && st.Network.Added > 0 && reached(st.Network.Score, n) && st.FamiliarAccounts == 0 {
		w := wish{who.network, who.at, RuleNetworkScore, reason("the network", st.Network, "clients")}
		if g.spared(who, w, st, r) {
			return wish{}, false
		}
		return w, true
	}
	if st.Client.Added <= 0 || !reached(st.Client.Score, r.score.Client.Ban) {
		return wish{}, false
	}
	w := wish{who.client, who.at, RuleClientScore, reason("the client", st.Client, "accounts")}
	if op.Outcome == score.Trapped {
		w.rule, w.why = RuleTrap, "tried a trap account"
	}
	return w, !g.spared(who, w, st, r)
}

func reason(subject string, s score.Reading, distinct string) string {
	return fmt.Sprintf("%s has %s points; %s: %d", subject, points(s.Score), distinct, s.Distinct)
}

// spared tells whether a prefix is not banned although its score is high
// enough, and says so once in a while.
func (g *Guard) spared(who *identity, w wish, st *store.Standing, r *Rules) bool {
	kind, why := g.spares(who, w.prefix, st, r)
	if kind == "" {
		return false
	}
	g.metrics.sparedBans.WithLabelValues(kind).Inc()
	key := g.hash.guess(w.prefix.Addr(), kind, uint32(w.prefix.Bits()), score.Sure, "")
	if _, told := g.told.find(key, who.at); !told {
		g.told.remember(key, w.rule, who.at)
		g.log.Warn("not banned although its score is high enough", zap.Stringer("prefix", w.prefix),
			zap.String("because", why), zap.String("reason", w.why))
	}
	return true
}

// Why a prefix is spared, in a word.
const (
	sparedPrivate = "private"
	sparedOwn     = "own"
	sparedOffice  = "office"
	sparedBrake   = "brake"
)

// spares says why a prefix is not banned, as a word and as a sentence, or "".
func (g *Guard) spares(who *identity, p netip.Prefix, st *store.Standing, r *Rules) (kind, why string) {
	switch {
	case !r.banPrivate && !public(who.addr):
		// Behind a proxy or a gateway that hides the clients, this would ban it.
		return sparedPrivate, "its address is private; if a proxy or NAT hides the clients, have it pass their addresses on (PROXY protocol, XCLIENT); if it is your webmail, put it into rules.allow_clients"
	case !r.banPrivate && g.ownIn(p):
		return sparedOwn, "an address of this host is in it"
	case r.office > 0 && st.FamiliarAccounts >= r.office:
		return sparedOffice, "an office: accounts log in from its network"
	case g.brake.on(who.at):
		return sparedBrake, "bans pause, since the password database is likely broken"
	}
	return "", ""
}

func (g *Guard) ownIn(p netip.Prefix) bool {
	for _, a := range g.own {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// put makes a ban durable and known to every host.
func (g *Guard) put(ctx context.Context, w wish, r *Rules) *store.Entry {
	if known := g.table.now.Load().exact(store.AutomaticBan, w.prefix, w.at); known != nil && (!known.Observed || !r.enforce) {
		return known
	}
	got, err := g.ledger.Put(ctx, store.Entry{
		Kind: store.AutomaticBan, Prefix: w.prefix, Since: w.at, Ladder: r.ladder,
		Reason: w.why, Rule: string(w.rule), By: g.host, Observed: !r.enforce,
	})
	if err != nil {
		g.metrics.banErrors.Inc()
		if errors.Is(err, store.ErrFull) {
			g.complain("a ban was not made: there are as many bans as the configuration allows (store.bans)", err)
		} else {
			g.complain("a ban was not made; the client is refused by its score", err)
		}
		return nil
	}
	message := "banned"
	if got.Observed {
		message = "would be banned"
	}
	g.metrics.banned(w.rule, got.Observed)
	g.log.Info(message, zap.Stringer("prefix", got.Prefix), zap.String("rule", got.Rule), zap.String("reason", got.Reason),
		zap.Time("until", got.Until), zap.Int("ban_number", got.Times), zap.Bool("observed", got.Observed))
	if g.observe != nil && got.By == g.host { // else another host was first, and tells of it
		made := got
		g.observe(Event{Kind: Banned, At: got.Since, Host: g.host, Entry: &made})
	}
	return &got
}

// banners put the bans of reports into the ledger. A disk or a network that is
// slow holds up bans, and nothing else: reports go on being counted.
type banners struct {
	mu      sync.Mutex
	pending map[netip.Prefix]bool
	queue   chan wish
}

const (
	banQueue   = 1024            // bans that wait
	banWorkers = 8               // that put them; they share the disk's writes
	banTimeout = 5 * time.Second // for one
)

// want queues a ban. One that is queued already is not queued again; where the
// queue is full the next failure wishes again.
func (b *banners) want(w wish) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending[w.prefix] {
		return true
	}
	select {
	case b.queue <- w:
		b.pending[w.prefix] = true
		return true
	default:
		return false
	}
}

func (b *banners) done(p netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pending, p)
}

// putBans works the queue until it is closed.
func (g *Guard) putBans() {
	for w := range g.banners.queue {
		ctx, cancel := context.WithTimeout(context.Background(), banTimeout)
		g.put(ctx, w, g.rules.Load())
		cancel()
		g.banners.done(w.prefix)
	}
}

// dropWhenEnforced drops observed bans when enforcing begins, at the start or by
// a reload.
func (g *Guard) dropWhenEnforced(ctx context.Context) {
	select {
	case <-g.table.synced:
	case <-ctx.Done():
		return
	}
	for {
		if g.Rules().enforce {
			g.dropObserved(ctx)
		}
		select {
		case <-g.enforced:
		case <-ctx.Done():
			return
		}
	}
}

// dropObserved removes the bans that this host only observed: they were made
// without refusing anybody, so nobody has been warned by a refusal yet.
func (g *Guard) dropObserved(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dropped := 0
	for _, e := range g.table.now.Load().prefixes[store.AutomaticBan].All() {
		if !e.Observed || e.By != g.host {
			continue
		}
		if _, err := g.ledger.Remove(ctx, *e); err != nil {
			g.complain("bans that were only observed could not be dropped; no host enforces them", err)
			return
		}
		dropped++
	}
	if dropped > 0 {
		g.log.Info("dropped the bans that were only observed; from now on bans are enforced", zap.Int("bans", dropped))
	}
}
