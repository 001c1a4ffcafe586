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
	who      identity
	prepared Prepared
	told     [1]Attempt // as it is counted
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
	if trier, ok := g.scores.(store.Trier); ok {
		op := store.Op{Account: p.who.account}
		p.who.counted(&op)
		p.names = trier.Names(&op)
	}
}

// TryPrepared is Try for an attempt that was prepared; how often it was made, and how
// it ended, may have changed since.
func (g *Guard) TryPrepared(ctx context.Context, a *Attempt, p *Prepared, t *Trial) error {
	r := g.rules.Load()
	t.guard, t.told[0] = g, *a
	t.who = p.who
	if a.At.IsZero() {
		t.who.at = g.now()
	}
	t.Client, t.Network, t.Account, t.Allowed = t.who.client, t.who.network, t.who.account, t.who.exemptClient
	trier, ok := g.scores.(store.Trier)
	if !ok || a.Scope != AllVerdicts || a.Outcome == score.Unknown {
		return g.tryApart(ctx, a, t)
	}
	var decided bool
	if t.Asked, decided = g.fromLedger(&t.who, r); decided {
		return g.tryDecided(ctx, a, t, r)
	}
	t.Asked, t.Counted = Verdict{rules: r}, Verdict{rules: r}
	if a.ID == 0 {
		_ = g.random() // the question's, which tells it from others in vain
	}
	t.op = g.op(a, &t.who, r)
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
	g.answered(&t.Asked, a, &t.who)
	g.metrics.attempt(&t.told[0])
	g.waiting.wake()
	g.consequences(&t.told[0], &t.who, &t.op, &t.Counted, func(w wish) *store.Entry { return g.put(ctx, w, r) })
	g.observeReport(&t.told[0], &t.who, &t.Counted)
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
	t.op.Outcome = t.guard.outcome(&t.told[0], &t.who, r)
	return t.op.Outcome
}

// conclude turns what would be done into what is done, and with it the outcome.
func (t *Trial) conclude() {
	a := &t.told[0]
	t.guard.execute(&t.Asked, a, &t.who)
	if t.Asked.Action == Refuse {
		a.Outcome = score.Refused
	}
}

// tryDecided goes on with an attempt that bans or the allowlist decide.
func (g *Guard) tryDecided(ctx context.Context, a *Attempt, t *Trial, r *Rules) error {
	ledger := t.Asked
	ledger.rules = r
	t.Asked.rules = r
	t.conclude()
	g.answered(&t.Asked, a, &t.who)
	told := &t.told[0]
	if settles(told, &ledger) {
		err := g.Apply(ctx, t.told[:], t.out[:])
		t.Counted = t.out[0]
		return err
	}
	t.Counted = ledger
	g.metrics.attempt(told)
	g.waiting.wake()
	g.observeReport(told, &t.who, &t.Counted)
	return nil
}

// tryApart asks and counts one after the other.
func (g *Guard) tryApart(ctx context.Context, a *Attempt, t *Trial) error {
	question := *a
	question.Outcome = score.Unknown
	t.Asked = g.Check(ctx, &question)
	if t.Asked.Action == Refuse {
		t.told[0].Outcome = score.Refused
	}
	err := g.Apply(ctx, t.told[:], t.out[:])
	t.Counted = t.out[0]
	return err
}
