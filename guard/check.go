package guard

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Check judges an attempt that is asked about. It never fails: what cannot be
// judged passes. With a store that keeps its own deadlines it returns within
// those and the wait of the rules.
func (g *Guard) Check(ctx context.Context, a *Attempt) Verdict {
	r := g.rules.Load()
	who := g.identify(a, r)
	g.asked(a, &who)
	var v Verdict
	if !g.fromLedger(&v, &who, r) {
		v = g.fromScores(ctx, a, &who, r)
	}
	v.rules = r
	g.execute(&v, a, &who)
	g.answered(&v, a, &who)
	return v
}

// answered tells whoever looks on of an answer.
func (g *Guard) answered(v *Verdict, a *Attempt, who *identity) {
	g.announce(v, a, who)
	if g.observe != nil && v.Would != Pass {
		e := g.attemptEvent(Asked, a, who, v)
		e.Outcome = score.Unknown
		g.observe(e)
	}
}

// identity is who an attempt is about.
type identity struct {
	at              time.Time // when it was asked
	addr            netip.Addr
	client, network netip.Prefix
	account         string
	scope           Scope
	exemptClient    bool // by the allowlist, from the client and network tiers
	exemptAccount   bool // by the allowlist, from the account tier

	secret score.Secret
	token  uint32
	guess  uint64 // as store.Op.Guess
	pair   uint64 // names the client and the account together; 0: not asked for yet

	// Where it takes the session to tell guesses apart: for a question that another
	// came before, the name of the session's first and how many were between; for a
	// report, how many of the session were asked about since.
	first         uint64
	others, later uint32
}

// key names an attempt between its question and its report; one that cannot be
// told from others, by its client and account.
func (g *Guard) key(who *identity) uint64 {
	if who.guess != 0 {
		return who.guess
	}
	if who.pair == 0 {
		who.pair = g.hash.pair(who.addr, who.account)
	}
	return who.pair
}

func (g *Guard) identify(a *Attempt, r *Rules) identity {
	who := identity{at: a.At, scope: a.Scope, account: r.Account(a.Login)}
	if who.at.IsZero() {
		who.at = g.now()
	}
	if a.Client.IsValid() {
		who.addr = clientAddr(a.Client)
		who.client, who.network = r.clientPrefix(who.addr)
	}
	who.secret = secretKind(a)
	who.token = g.hash.token(who.account, a.Hash, who.secret)
	if who.guess = a.reported.guess; who.guess == 0 {
		who.guess = g.hash.guess(who.addr, who.account, who.token, who.secret, a.Session)
	}
	l := g.table.now.Load()
	who.exemptClient = who.addr.IsValid() &&
		(r.allowClients.Contains(who.addr) || l.prefix(store.Allow, who.addr, who.at, true) != nil)
	who.exemptAccount = who.account != "" &&
		(r.allowAccount[who.account] || l.account(store.Allow, who.account, who.at) != nil)
	return who
}

// fromLedger decides what bans and the allowlist decide alone, and tells whether they
// did, in a verdict that is zero so far: the precedence is operator's ban, allowlist,
// automatic ban, score.
func (g *Guard) fromLedger(v *Verdict, who *identity, r *Rules) bool {
	if !who.addr.IsValid() && who.account == "" {
		v.Rule = RuleUnguarded
		return true
	}
	l := g.table.now.Load()
	if who.addr.IsValid() {
		if e := l.prefix(store.OperatorBan, who.addr, who.at, true); e != nil {
			v.Would, v.Rule, v.Entry = Refuse, RuleOperatorBan, e
			return true
		}
	}
	if who.account != "" {
		if e := l.account(store.OperatorBan, who.account, who.at); e != nil {
			v.Would, v.Rule, v.Entry = Refuse, RuleAccountBlock, e
			return true
		}
	}
	if who.scope == OperatorVerdicts {
		return true
	}
	if who.exemptClient {
		v.Rule = RuleAllowed
		return who.account == "" || who.exemptAccount
	}
	if who.addr.IsValid() {
		if e := l.prefix(store.AutomaticBan, who.addr, who.at, !r.enforce); e != nil {
			v.Would, v.Rule, v.Entry = Refuse, RuleBan, e
			return true
		}
	}
	return false
}

// fromScores asks the store, and waits a little where only guesses in flight
// stand in the way, at the client or at the account.
func (g *Guard) fromScores(ctx context.Context, a *Attempt, who *identity, r *Rules) Verdict {
	b := g.batches.get()
	defer g.batches.put(b)
	op := &b.op[0]
	g.fill(op, a, who, r)
	op.Verb = store.Look
	login := a.Login != ""
	if login && !a.Stale {
		op.Verb = store.Reserve
	}
	q := who.question(login)
	var v Verdict
	ask := func() bool {
		if err := g.scores.Do(ctx, b.op[:], b.out[:]); err != nil {
			g.metrics.storeErrors.Inc()
			v = Verdict{Rule: RuleStoreFailing}
			return false
		}
		v.Standing = b.out[0]
		v.Would, v.Rule = r.judge(&v.Standing, q)
		return v.crowded()
	}
	if ask() && (!r.enforce || g.waiting.wait(ctx, who.client, r.waiting, ask)) && v.crowded() && g.asksAgain(who) {
		op.Guess = who.guess
		ask()
	}
	if v.Rule == RuleNone && who.exemptClient {
		v.Rule = RuleAllowed
	}
	return v
}

// crowded tells whether nothing but guesses in flight stand in an attempt's way.
func (v *Verdict) crowded() bool {
	return v.Rule == RuleInFlight || v.Rule == RuleAccountScore && v.Standing.Crowded
}

// question is what judging needs to know of an attempt. login tells whether one is
// tried.
func (who *identity) question(login bool) question {
	return question{secret: who.secret, client: !who.exemptClient, account: login && !who.exemptAccount, login: login}
}

// fill makes the store's operation for an attempt, without its verb.
func (g *Guard) fill(op *store.Op, a *Attempt, who *identity, r *Rules) {
	*op = store.Op{
		ID: a.ID, At: a.At, Account: who.account, AccountExempt: who.exemptAccount,
		Token: who.token, Secret: who.secret, Guess: who.guess, Outcome: r.outcome(a, who), Count: a.Count, Rules: &r.score,
		LapseCounts: g.reported.Load(),
	}
	if op.ID == 0 {
		op.ID = g.random()
	}
	op.Client, op.Network = who.counted()
}

// counted returns the client and the network as an operation names them: if they are
// counted.
func (who *identity) counted() (client, network netip.Prefix) {
	if !who.exemptClient {
		client, network = who.client, who.network
	}
	return client, network
}

// outcome is what an attempt counts as.
func (r *Rules) outcome(a *Attempt, who *identity) score.Outcome {
	switch a.Outcome {
	case score.Failure, score.UnknownAccount, score.Refused:
		if r.traps[who.account] {
			return score.Trapped
		}
	}
	return a.Outcome
}

// execute turns what would be done into what is done.
func (g *Guard) execute(v *Verdict, a *Attempt, who *identity) {
	r := v.rules
	if v.Would == Tarpit {
		v.Delay = r.delay(&v.Standing, v.Rule, smtpService(a.Service))
		if a.Delayed {
			v.Would, v.Rule, v.Delay = Pass, RuleNone, 0
			return
		}
		if r.enforce && !g.tarpits.hold(a.Face, who.client, who.guess, v.Delay, g.now(), r.tarpit) {
			// As many are held as may be. Each holds a process of the mail server:
			// the attempt passes undelayed rather than starve the others.
			v.Delay = 0
			g.metrics.tarpitsFull.Inc()
			return
		}
	}
	if r.enforce {
		v.Action = v.Would
	}
	if v.Would == Refuse {
		g.recent.remember(g.key(who), v.Rule, g.now())
	}
}

func smtpService(service string) bool {
	switch service {
	case "smtp", "smtps", "submission", "submissions":
		return true
	}
	return false
}

// batchPool spares the hot path the allocation of what crosses an interface.
type batchPool struct{ pool sync.Pool }

type batch struct {
	op  [1]store.Op
	out [1]store.Standing
}

func (p *batchPool) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

func (p *batchPool) put(b *batch) {
	b.op[0] = store.Op{} // do not keep the login alive
	p.pool.Put(b)
}

func randomID() uint64 { return rand.Uint64() | 1 }
