package failover

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

// ErrLater is wrapped by what ForgetClient and ForgetAccount return when this
// host has forgotten, and the others will when Redis answers again.
var ErrLater = errors.New("done on this host, and will be on the others when Redis answers")

// Do implements store.Scores. It fails only where the local store fails. A
// place taken by an operation whose answer was lost lapses there unless the
// attempt's Record settles it, as it settles the local one.
func (s *Store) Do(ctx context.Context, ops []store.Op, out []store.Standing) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if err := s.local.Do(ctx, ops, out); err != nil {
		return err
	}
	if len(ops) == 0 || len(ops) == 1 && atHome(&ops[0], &out[0]) {
		return nil
	}
	if !s.breaker.isUp() {
		s.missed(ops)
		s.note(ops, out)
		return nil
	}
	answers := s.borrow(len(ops))
	defer s.scratch.Put(answers)
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.options.Deadline)
	err := s.remote.Do(limited, s.skew.opsThere(ops), *answers)
	cancel()
	s.judge(ctx, time.Since(began), err)
	if err != nil {
		s.missed(ops)
		s.note(ops, out)
		return nil
	}
	behind := s.behind()
	for i, answer := range *answers {
		if apart(&ops[i], &out[i], &(*answers)[i]) {
			s.local.Level(&ops[i], &out[i], &(*answers)[i], !behind)
		}
		if behind && ops[i].Verb == store.Reserve {
			answer = stricter(answer, &out[i])
		}
		answer.At = s.skew.here(answer.At)
		out[i] = answer
	}
	return nil
}

// atHome tells whether somebody asks for whom it does not matter what other hosts know:
// an owner where he has logged in before, with the password that was right last. That
// needs no place and is let through whatever the scores are; only its report, which
// settles and forgives, is for the others.
func atHome(op *store.Op, local *store.Standing) bool {
	return op.Verb == store.Reserve && local.Familiar && local.Known == 1
}

// missed takes note that the remote store lacks what this host has let through: a
// place until its Record comes, and a Record until it is handed over.
func (s *Store) missed(ops []store.Op) {
	s.late.Store(time.Now().UnixMilli() + ops[0].Rules.PlaceLife)
}

// behind tells whether the remote store may lack some of it.
func (s *Store) behind() bool {
	until := s.late.Load()
	switch {
	case until == 0:
		return false
	case time.Now().UnixMilli() < until || s.journal.len() > 0:
		return true
	}
	s.late.CompareAndSwap(until, 0)
	return false
}

// apart tells whether the remote store knows something of the subjects that this host's
// own does not, and should for when it must decide alone.
func apart(op *store.Op, local, remote *store.Standing) bool {
	differ := func(local, remote *score.Reading) bool {
		return remote.Score > local.Score || score.Apart(remote, local.Score) || remote.InFlight > local.InFlight || local.Elsewhere > 0
	}
	return differ(&local.Client, &remote.Client) || differ(&local.Network, &remote.Network) ||
		!op.AccountExempt && differ(&local.Account, &remote.Account) || local.Familiar && remote.Familiar && differ(&local.Pair, &remote.Pair)
}

// stricter is the remote store's answer to a Reserve, with what only this host knows of
// the same guesses: else a remote store that is late now and then would give a budget
// more to each of those moments. Where the two do not agree on who asks, the remote
// store knows better: somebody logged in elsewhere.
func stricter(answer store.Standing, local *store.Standing) store.Standing {
	if answer.Familiar != local.Familiar || answer.Known != local.Known {
		return answer
	}
	answer.Full = answer.Full || local.Full
	answer.Crowded = answer.Crowded || local.Crowded
	worse := func(a *score.Reading, b score.Reading) {
		if b.Score > a.Score {
			*a = b
		}
	}
	worse(&answer.Client, local.Client)
	worse(&answer.Network, local.Network)
	worse(&answer.Account, local.Account)
	worse(&answer.Pair, local.Pair)
	return answer
}

// borrow returns n standings: a remote store that fails may have written some.
func (s *Store) borrow(n int) *[]store.Standing {
	b, _ := s.scratch.Get().(*[]store.Standing)
	if b == nil || cap(*b) < n {
		b = new(make([]store.Standing, 0, max(n, 64)))
	}
	*b = (*b)[:n]
	return b
}

// note keeps the Records of a batch for later.
func (s *Store) note(ops []store.Op, out []store.Standing) {
	s.noted(s.journal.records(ops, out))
}

func (s *Store) noted(overflow bool) {
	if overflow {
		s.log.Warn("Redis is away for longer than the journal can hold attempts for it; the oldest are dropped, other hosts will not know of them",
			zap.Int("journal", s.options.Journal))
	}
	s.kick()
}

// ForgetClient implements store.Forgetter. Where the remote store fails the
// error wraps ErrLater.
func (s *Store) ForgetClient(ctx context.Context, client netip.Prefix) error {
	if err := s.local.ForgetClient(ctx, client); err != nil {
		return err
	}
	return s.forget(ctx, item{forget: forgetClient, op: store.Op{Client: client}}, func(ctx context.Context) error {
		return s.remote.ForgetClient(ctx, client)
	})
}

// ForgetAccount implements store.Forgetter. Where the remote store fails the
// error wraps ErrLater, and the pairs are those that this host knew.
func (s *Store) ForgetAccount(ctx context.Context, account string) (int, error) {
	mine, err := s.local.ForgetAccount(ctx, account)
	if err != nil {
		return 0, err
	}
	all := mine
	err = s.forget(ctx, item{forget: forgetAccount, op: store.Op{Account: account}}, func(ctx context.Context) error {
		n, err := s.remote.ForgetAccount(ctx, account)
		all = max(n, mine)
		return err
	})
	return all, err
}

// forget has the remote store forget something now or later. While attempts
// wait to be handed over it waits behind them: they came before it.
func (s *Store) forget(ctx context.Context, x item, now func(ctx context.Context) error) error {
	err := errAway
	if s.breaker.isUp() {
		err = s.ask(ctx, now)
	}
	if err == nil && s.journal.len() == 0 {
		return nil
	}
	s.noted(s.journal.add(x))
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLater, err)
}

var errAway = errors.New("Redis does not answer")
