package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// ForgetClient implements store.Forgetter. The client is looked for in the slot
// of the network around it, as long as networks were in the last operations,
// and as they usually are.
func (s *Store) ForgetClient(ctx context.Context, client netip.Prefix) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	var calls []call
	for _, network := range s.lengths.networks(client) {
		a := s.newAttempt(&store.Op{Client: client, Rules: s.lastRules()}, s.nowMillis())
		a.slot = s.hash.Prefix('n', network)
		calls = append(calls, a.networkCall(forgetClient, unknownYet))
	}
	if err := s.run(ctx, calls); err != nil {
		return s.forgetFailed("client "+client.String(), err)
	}
	return nil
}

// ForgetAccount implements store.Forgetter. If it fails, some of the pairs may
// be forgotten; to repeat it forgets the others.
func (s *Store) ForgetAccount(ctx context.Context, account string) (int, error) {
	if s.closed.Load() {
		return 0, store.ErrClosed
	}
	a := s.newAttempt(&store.Op{Account: account, Rules: s.lastRules()}, s.nowMillis())
	calls := []call{a.accountCall(forgetAccount, 0, 0)}
	err := s.run(ctx, calls)
	pairs := 0
	if err == nil {
		networks := calls[0].reply
		pairs = len(networks) / 8
		calls = calls[:0]
		for ; len(networks) >= 8; networks = networks[8:] {
			calls = append(calls, s.unfriend(&a, networks[:8]))
		}
		if len(calls) > 0 {
			err = s.run(ctx, calls)
		}
	}
	if err == nil {
		// The list goes last: it is what a second attempt would need.
		err = s.run(ctx, []call{a.accountCall(unfriendAlways, 0, 0)})
	}
	if err != nil {
		return 0, s.forgetFailed("account", err)
	}
	return pairs, nil
}

// unfriend makes an account a stranger to a network, whose hash the account's
// slot kept.
func (s *Store) unfriend(a *attempt, network string) call {
	b := *a
	b.slot = binary.BigEndian.Uint64([]byte(network))
	b.marks.Pair = s.hash.Number('p', b.slot^b.marks.Account<<1)
	return b.networkCall(unfriend, unknownYet)
}

// unfriendEvicted tells networks of accounts whose list of networks was full:
// the network longest unused had to go from it.
func (s *Store) unfriendEvicted(ctx context.Context, done []call) error {
	var calls []call
	for i := range done {
		if c := &done[i]; c.side == onAccount && c.verb == befriend && len(c.reply) == 8 {
			calls = append(calls, s.unfriend(c.attempt, c.reply))
		}
	}
	if len(calls) == 0 {
		return nil
	}
	return s.run(ctx, calls)
}

// lastRules are the latest rules, or before any operation such as suffice to
// keep what is in flight.
func (s *Store) lastRules() *score.Rules {
	if p := s.rules.Load(); p != nil {
		return p.rules
	}
	hour := time.Hour.Milliseconds()
	return &score.Rules{HalfLife: hour}
}

func (s *Store) forgetFailed(what string, err error) error {
	if s.closed.Load() || errors.Is(err, goredis.ErrClosed) {
		return store.ErrClosed
	}
	return fmt.Errorf("forgetting the %s in Redis: %w", what, err)
}
