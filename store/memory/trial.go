package memory

import (
	"context"
	"net/netip"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// trial is an attempt that is asked about and recorded in one step. Its subjects
// are found and unpacked once, and stay locked until both is done.
type trial struct {
	held   [score.Pair + 1]held // by kind
	locked [score.Pair + 1]int  // shards, in the order in which all lock them
	locks  int
}

// held is one subject of a trial.
type held struct {
	unpacked
	shard   *shard
	slot    uint32 // of its head; 0: it was not there
	named   bool
	changed bool // it is no longer what is kept of it
	setBack bool // it has just arrived, and the clock was set back
	packed  bool // the last deed would have packed it
	visit   visit
}

// Try implements store.Trier. It fails as Do does.
func (s *Store) Try(ctx context.Context, op *store.Op, judge store.Judge, asked, recorded *store.Standing) error {
	switch {
	case s.closed.Load():
		return store.ErrClosed
	case op.Rules == nil:
		return errNoRules
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.options.Alone {
		s.sweepNowAndThen()
		s.try(s.desk, op, judge, asked, recorded)
		return nil
	}
	t, ok := s.trials.Get().(*trial)
	if !ok {
		t = newTrial()
	}
	s.try(t, op, judge, asked, recorded)
	s.trials.Put(t)
	return nil
}

func (s *Store) try(t *trial, op *store.Op, judge store.Judge, asked, recorded *store.Standing) {
	a := attempt{trial: t}
	s.begin(&a, op, asked, s.nowMillis())
	*recorded = *asked
	s.learn(&a, t.run(s, &a, judge, recorded))
}

// Names implements store.Trier.
func (s *Store) Names(client, network netip.Prefix, account string) store.Names {
	return s.hasher.Names(client, network, account)
}

func newTrial() *trial {
	t := new(trial)
	for k := range t.held {
		t.held[k].init()
	}
	return t
}

// run carries out both halves of a trial while its subjects are locked, and returns
// what the client owed before.
func (t *trial) run(s *Store, a *attempt, judge store.Judge, recorded *store.Standing) score.Milli {
	t.hold(s, a)
	defer t.release(s)
	a.event.Outcome = score.Unknown
	if a.op.Verb == store.Reserve {
		s.reserve(a)
	} else {
		s.lookAll(a)
	}
	a.event.Outcome = judge.Judge(a.out)
	a.out = recorded
	owed := s.record(a)
	t.keep()
	return owed
}

// hold locks and unpacks the subjects that an attempt names.
func (t *trial) hold(s *Store, a *attempt) {
	t.locks = 0
	for k := range t.held {
		h, kind := &t.held[k], score.Kind(k)
		if h.named = a.names(kind); h.named {
			a.visit(&h.visit, look, kind)
			i := shardOf(h.visit.key)
			h.shard = &s.shards[i]
			if !s.options.Alone {
				t.lock(i)
			}
		}
	}
	for _, i := range t.locked[:t.locks] {
		s.shards[i].mu.Lock()
	}
	// All are found before any is unpacked, so that the processor waits for their
	// memory once.
	for k := range t.held {
		if h := &t.held[k]; h.named {
			h.slot = h.shard.index.find(h.visit.key, &h.shard.heads)
		}
	}
	for k := range t.held {
		if h := &t.held[k]; h.named {
			h.shard.unpack(&h.unpacked, h.slot)
			h.setBack = h.arrive(&h.visit)
			h.changed, h.packed = false, false
		}
	}
}

// lock notes that a shard is to be locked, in its place among the others.
func (t *trial) lock(shard int) {
	at := 0
	for at < t.locks && t.locked[at] < shard {
		at++
	}
	if at < t.locks && t.locked[at] == shard {
		return
	}
	copy(t.locked[at+1:t.locks+1], t.locked[at:t.locks])
	t.locked[at] = shard
	t.locks++
}

// do is what shard.do does, to a subject that is held.
func (t *trial) do(a *attempt, d deed, k score.Kind, out *sight) {
	h := &t.held[k]
	h.visit.deed, h.visit.event.Outcome = d, a.event.Outcome
	if h.slot == 0 && d.needs() && h.Empty() {
		*out = sight{}
		return
	}
	if h.packed { // and then unpacked and brought to the same time once more
		h.arrive(&h.visit)
	}
	h.act(&h.visit, out)
	h.packed, h.setBack = out.changed || h.setBack, false
	h.changed = h.changed || h.packed
	if h.packed && h.Empty() { // it would have been dropped, and nothing be found
		h.Subject = score.Subject{Ring: h.Ring[:0], Places: h.Places[:0]}
	}
}

// keep writes back what has changed. Making room for one subject may drop another,
// which then is written as a new one.
func (t *trial) keep() {
	for k := range t.held {
		h := &t.held[k]
		if !h.named || !h.changed {
			continue
		}
		v := &h.visit
		if h.slot != 0 {
			if is := (head{h.shard.heads.at(h.slot)}); !is.used() || is.key() != v.key {
				h.slot, h.owned = 0, 0
			}
		}
		h.shard.save(&h.unpacked, h.slot, v.key, v.kind, v.event.At, v.rules)
	}
}

// release unlocks the shards.
func (t *trial) release(s *Store) {
	for _, i := range t.locked[:t.locks] {
		s.shards[i].mu.Unlock()
	}
}
