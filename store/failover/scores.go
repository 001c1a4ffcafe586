package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

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
	if len(ops) == 0 {
		return nil
	}
	if !s.breaker.isUp() {
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
		s.note(ops, out)
		return nil
	}
	copy(out, *answers)
	for i := range out {
		out[i].At = s.skew.here(out[i].At)
	}
	return nil
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
