package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
)

var errNoRules = errors.New("an operation without rules")

// maxRounds bounds the round trips of one Do. None needs more than four: to ask,
// to ask the account again, to give back, and to tell a network of a copy that
// had to go.
const maxRounds = 6

// Do implements store.Scores. An operation takes one round trip, and a second one
// where a slot must be told what the other decided: a place given back, a login from
// a new network. In a Cluster so does a Record of a failure whose question was not
// asked here: whether the secret is known is found out first.
func (s *Store) Do(ctx context.Context, ops []store.Op, out []store.Standing) error {
	switch {
	case s.closed.Load():
		return store.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case len(ops) != len(out):
		return fmt.Errorf("%d operations for %d standings", len(ops), len(out))
	}
	now := s.nowMillis()
	attempts := make([]attempt, len(ops))
	for i := range ops {
		if ops[i].Rules == nil {
			return errNoRules
		}
		attempts[i] = s.newAttempt(&ops[i], now)
	}
	for some := range slices.Chunk(attempts, s.atOnce) {
		if err := s.ask(ctx, some); err != nil {
			return s.scoresFailed(len(ops), err)
		}
		if err := s.amend(ctx, some); err != nil {
			return s.scoresFailed(len(ops), err)
		}
	}
	for i := range attempts {
		a := &attempts[i]
		out[i] = a.standing()
		if !a.client && !a.account {
			out[i].At = s.timeOf(a.op)
		}
		if (a.onNetwork.flags|a.onAccount.flags)&untrackedFlag != 0 {
			s.meters.untracked.Inc()
		}
	}
	return nil
}

// ask puts every operation to both of its slots, each slot in the order of the
// operations. Where one run of the script carries out both, the account's comes
// first and tells the other what it knows of the secret.
func (s *Store) ask(ctx context.Context, attempts []attempt) error {
	if s.gatherer == nil {
		return s.askSlots(ctx, attempts)
	}
	calls := make([]call, 0, 2*len(attempts))
	for i := range attempts {
		a, known := &attempts[i], byte(unknownYet)
		if a.account {
			calls, known = append(calls, a.accountCall(verb(a.op.Verb), 0, 0)), asked
		}
		if a.client {
			calls = append(calls, a.networkCall(verb(a.op.Verb), known))
		}
	}
	return s.carryOut(ctx, calls)
}

// askSlots asks slots that know nothing of each other: at once, or where one of the
// operations must know first what the account's slot says, one after the other.
func (s *Store) askSlots(ctx context.Context, attempts []attempt) error {
	ordered, present := false, s.present()
	known := make([]byte, len(attempts))
	for i := range attempts {
		a := &attempts[i]
		known[i] = unknownYet
		if a.asksFirst() {
			hint, ok := s.hints.find(a.op.Guess, present)
			known[i], ordered = hint, ordered || !ok
		}
	}
	calls := make([]call, 0, 2*len(attempts))
	for i := range attempts {
		if a := &attempts[i]; a.account {
			calls = append(calls, a.accountCall(verb(a.op.Verb), 0, 0))
		}
	}
	if ordered {
		if err := s.carryOut(ctx, calls); err != nil {
			return err
		}
		calls = calls[:0]
	}
	for i := range attempts {
		a := &attempts[i]
		if ordered {
			known[i] = byte(a.onAccount.known)
		}
		if a.client {
			calls = append(calls, a.networkCall(verb(a.op.Verb), known[i]))
		}
	}
	if err := s.carryOut(ctx, calls); err != nil {
		return err
	}
	for i := range attempts {
		if a := &attempts[i]; a.op.Verb == store.Reserve && a.account {
			s.hints.note(a.op.Guess, a.onAccount.known, present)
		}
	}
	return nil
}

// amend goes on until no slot has anything left to be told.
func (s *Store) amend(ctx context.Context, attempts []attempt) error {
	for range maxRounds {
		var calls []call
		for i := range attempts {
			calls = append(calls, attempts[i].amend()...)
		}
		if len(calls) == 0 {
			return nil
		}
		s.meters.amended.Inc()
		if err := s.carryOut(ctx, calls); err != nil {
			return err
		}
		if err := s.unfriendEvicted(ctx, calls); err != nil {
			return err
		}
	}
	return fmt.Errorf("two slots did not agree in %d round trips", maxRounds)
}

// scoresFailed says what failed, and of a closed client in the store's words.
func (s *Store) scoresFailed(n int, err error) error {
	if s.closed.Load() || errors.Is(err, goredis.ErrClosed) {
		return store.ErrClosed
	}
	return fmt.Errorf("scores of %d attempts in Redis: %w", n, err)
}

// nowMillis is the time that the scripts are told, 0 where they use their own.
func (s *Store) nowMillis() int64 {
	if s.now == nil {
		return 0
	}
	return max(s.now().UnixMilli(), 1)
}

// timeOf is the time of an operation that names nothing and asked nobody.
func (s *Store) timeOf(op *store.Op) time.Time {
	now := s.present()
	if !op.At.IsZero() && op.At.Before(now) {
		now = op.At
	}
	return millis(max(now.UnixMilli(), 0))
}

// present is the time on this host, which decides nothing that hosts share.
func (s *Store) present() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}
