package guard

import (
	"context"
	"net/netip"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Trial is an attempt that was asked about and counted in one step. It may be used
// again for another, and is not safe for concurrent use.
type Trial struct {
	Asked   Verdict // as of Check
	Counted Verdict // as of Apply

	// Who it was about, as the rules and the allowlist see it.
	Client, Network netip.Prefix
	Account         string
	Allowed         bool // exempt from the client and network tiers

	guard    *Guard
	who      *identity
	now      identity // of an attempt without a time
	prepared Prepared
	told     *Attempt   // as it is counted
	other    [1]Attempt // told, where that is not what was asked about
	out      [1]Verdict
	question question
	op       store.Op
}

// Try asks about an attempt and counts its outcome: what Check does and then Apply,
// to which an attempt that was refused is told as refused. Nobody waits for a place.
// Whoever has both the question and the outcome, as a log has, pays for one visit to
// the store instead of two, where the store knows how (store.Trier).
func (g *Guard) Try(ctx context.Context, a *Attempt, t *Trial) error {
	g.Prepare(a, &t.prepared)
	return g.TryPrepared(ctx, a, &t.prepared, t)
}

// Prepared is who an attempt is about, found out ahead of its trial.
type Prepared struct {
	who   identity
	names store.Names
}

// Prepare finds out who an attempt is about, by the rules and the allowlist of now.
// It may be called while others are tried.
func (g *Guard) Prepare(a *Attempt, p *Prepared) {
	p.who = g.identify(a, g.rules.Load())
	g.key(&p.who)
	if trier, ok := g.scores.(store.Trier); ok {
		client, network := p.who.counted()
		p.names = trier.Names(client, network, p.who.account)
	}
}

// TryPrepared is Try for an attempt that was prepared; how often it was made, and how
// it ended, may have changed since.
func (g *Guard) TryPrepared(ctx context.Context, a *Attempt, p *Prepared, t *Trial) error {
	r := g.rules.Load()
	t.guard, t.told = g, a
	if t.who = &p.who; a.At.IsZero() {
		t.now, t.who = p.who, &t.now
		t.who.at = g.now()
	}
	t.Client, t.Network, t.Account, t.Allowed = t.who.client, t.who.network, t.who.account, t.who.exemptClient
	trier, ok := g.scores.(store.Trier)
	if !ok || a.Scope != AllVerdicts || a.Outcome == score.Unknown {
		return g.tryApart(ctx, a, t)
	}
	t.Asked = Verdict{}
	if g.fromLedger(&t.Asked, t.who, r) {
		return g.tryDecided(ctx, a, t, r)
	}
	t.Asked.Rule, t.Asked.rules = RuleNone, r
	t.Counted = Verdict{rules: r}
	if a.ID == 0 {
		_ = g.random() // the question's, which tells it from others in vain
	}
	g.fill(&t.op, a, t.who, r)
	t.op.Names = &p.names
	t.question = t.who.question(a.Login != "")
	t.op.Verb = store.Look
	if t.question.login && !a.Stale {
		t.op.Verb = store.Reserve
	}
	if err := trier.Try(ctx, &t.op, t, &t.Asked.Standing, &t.Counted.Standing); err != nil {
		g.metrics.storeErrors.Inc()
		return err
	}
	g.answered(&t.Asked, a, t.who)
	g.metrics.attempt(t.told)
	g.waiting.wake()
	g.consequences(t.told, t.who, &t.op, &t.Counted, func(w wish) *store.Entry { return g.put(ctx, w, r) })
	g.observeReport(t.told, t.who, &t.Counted)
	return nil
}

// Judge implements store.Judge, between the question and the outcome.
func (t *Trial) Judge(*store.Standing) score.Outcome {
	v, r := &t.Asked, t.Asked.rules
	v.Would, v.Rule = r.judge(&v.Standing, t.question)
	if v.Rule == RuleNone && t.who.exemptClient {
		v.Rule = RuleAllowed
	}
	t.conclude()
	switch {
	case v.Action != Refuse:
		t.op.Outcome = t.guard.outcome(t.told, t.who, r)
	case v.Rule == RuleInFlight: // as Guard.outcome would remember
		t.op.Outcome = score.Crowded
	default:
		t.op.Outcome = r.outcome(t.told, t.who)
	}
	return t.op.Outcome
}

// conclude turns what would be done into what is done, and with it the outcome.
func (t *Trial) conclude() {
	t.guard.execute(&t.Asked, t.told, t.who)
	if t.Asked.Action == Refuse {
		t.other[0] = *t.told
		t.other[0].Outcome = score.Refused
		t.told = &t.other[0]
	}
}

// tryDecided goes on with an attempt that bans or the allowlist decide.
func (g *Guard) tryDecided(ctx context.Context, a *Attempt, t *Trial, r *Rules) error {
	ledger := t.Asked
	ledger.rules = r
	t.Asked.rules = r
	t.conclude()
	g.answered(&t.Asked, a, t.who)
	if settles(t.told, &ledger) {
		return g.applyTold(ctx, t)
	}
	t.Counted = ledger
	g.metrics.attempt(t.told)
	g.waiting.wake()
	g.observeReport(t.told, t.who, &t.Counted)
	return nil
}

// tryApart asks and counts one after the other.
func (g *Guard) tryApart(ctx context.Context, a *Attempt, t *Trial) error {
	question := *a
	question.Outcome = score.Unknown
	t.Asked = g.Check(ctx, &question)
	t.other[0] = *a
	if t.Asked.Action == Refuse {
		t.other[0].Outcome = score.Refused
	}
	t.told = &t.other[0]
	return g.applyTold(ctx, t)
}

// applyTold counts an attempt apart from its question.
func (g *Guard) applyTold(ctx context.Context, t *Trial) error {
	t.other[0] = *t.told
	err := g.Apply(ctx, t.other[:], t.out[:])
	t.Counted = t.out[0]
	return err
}
