package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// ban bans the client, or its network, if this attempt took it to the ban
// score, and returns the ban in force or nil.
func (g *Guard) ban(ctx context.Context, a *Attempt, who *identity, op *store.Op, st *store.Standing, r *Rules) *store.Entry {
	if !who.client.IsValid() {
		return nil
	}
	if n := r.score.Network.Ban; n > 0 && st.Network.Added > 0 && st.Network.Score >= n && st.FamiliarAccounts == 0 {
		if e := g.put(ctx, who, who.network, RuleNetworkScore, reason("network", st.Network), r); e != nil {
			return e
		}
	}
	if st.Client.Added <= 0 || st.Client.Score < r.score.Client.Ban {
		return nil
	}
	rule, why := RuleClientScore, reason("client", st.Client)
	if op.Outcome == score.Trapped {
		rule, why = RuleTrap, "tried a trap account"
	}
	if spared := g.spared(who, st, r); spared != "" {
		g.metrics.spared(spared)
		g.log.Warn("a client reached the ban score and is not banned; its logins are refused by score",
			zap.Stringer("client", who.client), zap.String("spared", spared), zap.String("why", why))
		return nil
	}
	return g.put(ctx, who, who.client, rule, why, r)
}

// spared says why a client is not banned although its score is high enough, or
// "" if it is to be banned.
func (g *Guard) spared(who *identity, st *store.Standing, r *Rules) string {
	switch {
	case !r.banPrivate && !public(who.addr):
		// Behind a proxy or a gateway that hides the clients, this would ban it.
		return "private address: if a proxy or NAT hides the clients, pass their addresses on (PROXY protocol, XCLIENT)"
	case !r.banPrivate && g.own[who.addr]:
		return "own address"
	case r.office > 0 && st.FamiliarAccounts >= r.office:
		return "office: accounts log in from its network"
	case g.brake.on(who.at):
		return "brake: the password database is likely broken"
	}
	return ""
}

func reason(subject string, s score.Reading) string {
	return fmt.Sprintf("%s has %s points, %d tried", subject, points(s.Score), s.Distinct)
}

// put makes a ban durable and known to every host.
func (g *Guard) put(ctx context.Context, who *identity, p netip.Prefix, rule Rule, why string, r *Rules) *store.Entry {
	e := store.Entry{
		Kind: store.AutomaticBan, Prefix: p, Since: who.at, Ladder: r.ladder,
		Reason: why, Rule: string(rule), By: g.host, Observed: !r.enforce,
	}
	if known := g.table.now.Load().exact(store.AutomaticBan, p, who.at); known != nil && (!known.Observed || !r.enforce) {
		return known
	}
	got, err := g.ledger.Put(ctx, e)
	if err != nil {
		g.metrics.banErrors.Inc()
		if errors.Is(err, store.ErrFull) {
			g.complain("a ban was not made: there are as many bans as the configuration allows (store.bans)", err)
		} else {
			g.complain("a ban was not made; the client is refused by its score", err)
		}
		return nil
	}
	g.metrics.banned(rule, got.Observed)
	g.log.Info("banned", zap.Stringer("prefix", got.Prefix), zap.String("rule", got.Rule),
		zap.String("reason", got.Reason), zap.Time("until", got.Until), zap.Int("times", got.Times),
		zap.Bool("observed", got.Observed))
	return &got
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
