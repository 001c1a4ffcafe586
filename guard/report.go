package guard

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

const (
	batchSize = 64              // reports written in one round trip
	drainTime = 5 * time.Second // for what is queued when Run ends
)

// Report takes note of an attempt's outcome. It never blocks: false means that
// the queue is full and the report was dropped, and counted as dropped; that this
// begins is logged.
func (g *Guard) Report(a Attempt) bool {
	if a.Face == Dovecot {
		if !g.reported.Load() {
			g.reported.Store(true)
		}
		g.reporting.note(a.Service, g.now())
	}
	g.arrived(&a)
	select {
	case g.queue <- a:
		return true
	default:
		g.metrics.dropped.Inc()
		if g.dropping.CompareAndSwap(false, true) {
			g.log.Error("reports are dropped: more come than can be counted, and what is tried meanwhile counts for less", zap.Int("queue", queueSize))
		}
		return false
	}
}

// work counts reports, as many at once as are queued.
func (g *Guard) work(ctx context.Context) {
	attempts := make([]Attempt, 0, batchSize)
	verdicts := make([]Verdict, batchSize)
	var counting deadline
	defer counting.end()
	for {
		select {
		case a := <-g.queue:
			if attempts = g.collect(append(attempts[:0], a)); len(attempts) < batchSize {
				g.dropping.Store(false) // none wait
			}
			g.count(counting.context(time.Now()), attempts, verdicts[:len(attempts)])
		case answer := <-g.probe:
			answer <- struct{}{}
		case <-ctx.Done():
			g.drain(attempts, verdicts)
			return
		}
	}
}

// collect adds what is queued already.
func (g *Guard) collect(as []Attempt) []Attempt {
	for len(as) < batchSize {
		select {
		case a := <-g.queue:
			as = append(as, a)
		default:
			return as
		}
	}
	return as
}

// drain counts what is queued when the guard stops.
func (g *Guard) drain(as []Attempt, vs []Verdict) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for ctx.Err() == nil {
		if as = g.collect(as[:0]); len(as) == 0 {
			return
		}
		g.count(ctx, as, vs[:len(as)])
	}
}

// countTimeout bounds the counting of a batch, give or take a second. Stores keep
// deadlines of their own that are much shorter.
const countTimeout = 5 * time.Second

// deadline is the context in which batches are counted. One serves all batches of
// a second, since a new one for each would be most of what they allocate. It does
// not end with Run: what was taken from the queue is counted.
type deadline struct {
	ctx    context.Context
	cancel context.CancelFunc
	renew  time.Time
}

func (d *deadline) context(now time.Time) context.Context {
	if now.After(d.renew) {
		d.end()
		d.ctx, d.cancel = context.WithDeadline(context.Background(), now.Add(countTimeout))
		d.renew = now.Add(time.Second)
	}
	return d.ctx
}

func (d *deadline) end() {
	if d.cancel != nil {
		d.cancel()
	}
}

func (g *Guard) count(ctx context.Context, as []Attempt, vs []Verdict) {
	later := func(w wish) *store.Entry {
		if !g.banners.want(w) {
			g.metrics.banErrors.Inc()
		}
		return nil
	}
	if err := g.apply(ctx, as, vs, later); err != nil {
		g.metrics.storeErrors.Inc()
		g.complain("reports could not be counted; the store does not answer", err)
	}
}

// Apply counts attempts at once and returns what they lead to: out[i] is what
// the next attempt like as[i] would meet. Both have the same length. Bans are in
// the ledger when it returns. An error is the store's; then nothing is known of
// the whole batch.
func (g *Guard) Apply(ctx context.Context, as []Attempt, out []Verdict) error {
	return g.apply(ctx, as, out, func(w wish) *store.Entry { return g.put(ctx, w, g.rules.Load()) })
}

func (g *Guard) apply(ctx context.Context, as []Attempt, out []Verdict, ban func(wish) *store.Entry) error {
	r := g.rules.Load()
	w := g.works.get(len(as))
	defer g.works.put(w)
	ops, whos, index := w.ops[:0], w.whos[:len(as)], w.index[:0]
	for i := range as {
		whos[i] = g.identify(&as[i], r)
		g.ended(&as[i], &whos[i])
		whos[i].scope = AllVerdicts // what happened counts, whoever asked what
		out[i] = Verdict{rules: r}
		g.metrics.attempt(&as[i])
		if g.counts(&as[i], &whos[i], &out[i], r) {
			ops, index = append(ops, store.Op{}), append(index, i)
			op := &ops[len(ops)-1]
			g.fill(op, &as[i], &whos[i], r)
			op.Verb, op.Outcome = store.Record, g.outcome(&as[i], &whos[i], r)
		}
	}
	for k, i := range index {
		ops = g.settleLater(ops, k, whos[i].later)
	}
	standings := slices.Grow(w.standings[:0], len(ops))[:len(ops)]
	if err := g.scores.Do(ctx, ops, standings); err != nil {
		return err
	}
	g.waiting.wake()
	for k, i := range index {
		out[i].Standing = standings[k]
		g.consequences(&as[i], &whos[i], &ops[k], &out[i], ban)
	}
	for i := range as {
		g.observeReport(&as[i], &whos[i], &out[i])
	}
	return nil
}

// workPool spares the counting of a batch its allocations.
type workPool struct{ pool sync.Pool }

// work is what counting a batch needs. Its slices have room for the batch.
type work struct {
	ops       []store.Op
	whos      []identity
	index     []int
	standings []store.Standing
}

func (p *workPool) get(n int) *work {
	if w, ok := p.pool.Get().(*work); ok && cap(w.whos) >= n {
		return w
	}
	return &work{
		ops: make([]store.Op, 0, n), whos: make([]identity, n), index: make([]int, 0, n), standings: make([]store.Standing, n),
	}
}

func (p *workPool) put(w *work) {
	if cap(w.whos) > batchSize {
		return // seldom, and too much to keep
	}
	// What was known of one batch is nothing to the next, and no login stays alive.
	clear(w.ops[:cap(w.ops)])
	clear(w.whos)
	clear(w.standings)
	p.pool.Put(w)
}

// outcome is what a reported attempt counts as.
func (g *Guard) outcome(a *Attempt, who *identity, r *Rules) score.Outcome {
	if g.onlyInFlight(a, who) {
		return score.Crowded
	}
	return r.outcome(a, who)
}

// onlyInFlight tells whether an attempt was refused for nothing but guesses in
// flight. That costs no points: twenty people behind one address who log in at
// the same moment have done nothing wrong.
func (g *Guard) onlyInFlight(a *Attempt, who *identity) bool {
	if a.Outcome != score.Refused {
		return false
	}
	rule, _ := g.recent.find(g.key(who), g.now())
	if rule != RuleInFlight && who.later > 0 { // perhaps it was refused when it was asked about again
		rule, _ = g.recent.find(who.guess+uint64(who.later)*nextGuess, g.now())
	}
	return rule == RuleInFlight
}

// counts tells whether an attempt is to be counted at all. What bans decide
// needs no score: an attempt refused for a ban has been answered for.
func (g *Guard) counts(a *Attempt, who *identity, v *Verdict, r *Rules) bool {
	if a.Outcome == score.Unknown {
		return false
	}
	decided := g.fromLedger(v, who, r)
	return !decided || settles(a, v)
}

// settles tells whether the place of an attempt that the ledger decides must be
// settled all the same: where it was not refused for the ban, since it is the report
// of a guess that was under way, or the mode is observe.
func settles(a *Attempt, ledger *Verdict) bool {
	return ledger.Would == Refuse && a.Outcome != score.Refused && ledger.Rule == RuleBan
}

// consequences draws them from a counted attempt.
func (g *Guard) consequences(a *Attempt, who *identity, op *store.Op, v *Verdict, ban func(wish) *store.Entry) {
	st, r := &v.Standing, v.rules
	failed := a.Outcome == score.Failure || a.Outcome == score.UnknownAccount
	if st.Familiar && (failed || a.Outcome == score.Success) {
		g.brakeNote(who, failed, r)
	}
	g.tell(v, a, who)
	if v.Entry == nil {
		if w, ok := g.wished(who, op, st, r); ok {
			v.Entry = ban(w)
		}
	}
	if v.Entry != nil {
		v.Would, v.Rule = Refuse, RuleBan
		return
	}
	v.Would, v.Rule = r.judge(st, who.question(who.account != ""))
}
