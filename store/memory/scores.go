package memory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

var errNoRules = errors.New("an operation without rules")

// attempt is one operation on its way through its subjects.
type attempt struct {
	op      *store.Op
	out     *store.Standing
	marks   store.Marks
	event   score.Event // without its entry, which every subject has of its own
	now     int64       // Unix milliseconds; of a late report its own time
	wall    int64       // the store's own present
	client  bool        // the client is named
	network bool        // and its network
	account bool        // the account is named
	until   int64       // when the pair ceases to be familiar, Unix seconds
	rightAt int64       // when the secret was last right, Unix seconds
	trial   *trial      // holds the subjects; nil: each is visited where it is kept
	seen    sight       // what came of the last visit
}

// Do implements store.Scores. It fails only for a closed store, an ended ctx,
// slices of unequal length, and an operation without rules.
func (s *Store) Do(ctx context.Context, ops []store.Op, out []store.Standing) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(ops) != len(out) {
		return fmt.Errorf("%d operations for %d standings", len(ops), len(out))
	}
	now := s.nowMillis()
	for i := range ops {
		if ops[i].Rules == nil {
			return errNoRules
		}
		s.do(&ops[i], &out[i], now)
	}
	return nil
}

func (s *Store) do(op *store.Op, out *store.Standing, now int64) {
	var a attempt
	s.begin(&a, op, out, now)
	switch op.Verb {
	case store.Reserve:
		a.event.Outcome = score.Unknown
		s.reserve(&a)
	case store.Record:
		s.learn(&a, s.record(&a))
	default:
		s.lookAll(&a)
	}
}

// begin finds out what an operation is about.
func (s *Store) begin(a *attempt, op *store.Op, out *store.Standing, now int64) {
	a.op, a.out, a.now, a.wall = op, out, now, now
	if op.Verb == store.Look && a.trial == nil {
		a.marks.Names = s.hasher.Named(op) // nothing comes into a ring
	} else {
		a.marks = s.hasher.Marks(op)
	}
	if !op.At.IsZero() {
		a.now = max(min(op.At.UnixMilli(), now), 0)
	}
	a.client = op.Client.IsValid()
	a.network = a.client && op.Network.IsValid()
	a.account = op.Account != ""
	if s.rules.Load() != op.Rules {
		s.rules.Store(op.Rules)
	}
	*out = store.Standing{At: millis(a.now)}
	s.recognise(a)
	a.event = score.Event{
		At: a.now, Guess: op.Guess, Secret: op.Secret, Outcome: op.Outcome,
		Known: out.Known > 0, Familiar: out.Familiar, Count: op.Count,
	}
}

// recognise finds out whether the pair is familiar and the secret was right
// before.
func (s *Store) recognise(a *attempt) {
	seconds := a.now / 1000
	if a.network {
		a.out.FamiliarAccounts = s.people.accounts(a.marks.Network)
		if a.account {
			a.until = s.people.familiar(pairKey{a.marks.Account, a.marks.Network})
			a.out.Familiar = a.until > seconds
		}
	}
	if a.account && a.op.Secret == score.Sure {
		a.out.Known, a.rightAt = s.people.rank(a.marks.Account, a.op.Token, seconds, a.op.Rules)
	}
}

// visit carries out a deed on one of the attempt's subjects and stores its
// reading. A subject that is not named is not visited, and has room. What it returns
// is good until the next visit.
func (s *Store) visit(a *attempt, d deed, k score.Kind) *sight {
	seen := &a.seen
	if !a.names(k) {
		*seen = sight{fits: true}
		return seen
	}
	if a.trial != nil {
		a.trial.do(a, d, k, seen)
	} else {
		var v visit
		a.visit(&v, d, k)
		*seen = s.shards[shardOf(v.key)].do(&v)
	}
	switch k {
	case score.Client:
		a.out.Client = seen.reading
	case score.Network:
		a.out.Network = seen.reading
	case score.Account:
		a.out.Account = seen.reading
	case score.Pair:
		if a.out.Familiar {
			a.out.Pair = seen.reading
		}
	}
	return seen
}

// names tells whether the attempt is about a subject of this kind.
func (a *attempt) names(k score.Kind) bool {
	switch k {
	case score.Client:
		return a.client
	case score.Network:
		return a.network
	case score.Account:
		return a.account
	default:
		return a.network && a.account
	}
}

// visit makes the visit of the attempt to its subject of a kind.
func (a *attempt) visit(v *visit, d deed, k score.Kind) {
	v.deed, v.kind, v.event, v.wall, v.rules = d, k, a.event, a.wall, a.op.Rules
	// Whether a pair is familiar cannot be told before it is asked about.
	v.counts = a.op.LapseCounts && !a.event.Familiar
	switch k {
	case score.Client:
		v.key, v.event.Entry = a.marks.Client, a.marks.OnClient
	case score.Network:
		v.key, v.event.Entry = a.marks.Network, a.marks.OnNetwork
	case score.Account:
		v.key, v.event.Entry = a.marks.Account, a.marks.OnAccount
	case score.Pair:
		v.key, v.event.Entry = a.marks.Pair, a.marks.OnPair
	}
}

func (s *Store) lookAll(a *attempt) {
	s.visit(a, look, score.Client)
	s.visit(a, look, score.Network)
	s.visit(a, look, score.Account)
	if a.out.Familiar {
		s.visit(a, look, score.Pair)
	}
}

// reserve asks one subject after the other, each under its own lock only.
func (s *Store) reserve(a *attempt) {
	if a.out.Familiar {
		s.lookAll(a)
		if a.out.Known != 1 {
			a.out.Full = s.visit(a, reserve, score.Pair).full
		}
		return
	}
	s.visit(a, look, score.Network)
	fits := false
	if a.network && a.op.Rules.Refuses(score.Network, a.out.Network.Score) {
		s.visit(a, look, score.Client)
	} else {
		onClient := s.visit(a, reserve, score.Client)
		fits, a.out.Full = onClient.fits, onClient.full
	}
	sure := a.op.Secret == score.Sure && !a.op.AccountExempt
	if fits && sure && a.out.Known != 1 {
		a.out.Full = s.visit(a, reserve, score.Account).full
		a.out.Crowded = a.out.Full
		return
	}
	s.visit(a, look, score.Account)
	a.out.Crowded = sure && a.out.Known == 1 && a.op.Rules.Crowded(a.out.Account)
}

// record counts an attempt where it counts and settles its places everywhere:
// they may have been taken when the pair was not familiar yet, or still was. It
// returns what the client owed before.
func (s *Store) record(a *attempt) (owed score.Milli) {
	familiar := a.out.Familiar
	success := a.event.Outcome == score.Success
	onClient, onNetwork, onAccount, onPair := record, record, record, settle
	if familiar {
		onNetwork, onAccount, onPair = look, settle, record
	}
	if familiar && a.event.Outcome == score.Refused {
		onClient, onPair = settle, settle
	}
	if success {
		onAccount, onPair = record, record
	}
	if a.op.AccountExempt {
		onAccount = settle
	}
	owed = s.visit(a, onClient, score.Client).before
	s.visit(a, onNetwork, score.Network)
	s.visit(a, onAccount, score.Account)
	s.visit(a, onPair, score.Pair)
	return owed
}

// learn remembers what a success has shown.
func (s *Store) learn(a *attempt, owed score.Milli) {
	if a.event.Outcome == score.Success && a.account {
		s.befriend(a, owed)
	}
}

// ForgetClient implements store.Forgetter.
func (s *Store) ForgetClient(ctx context.Context, client netip.Prefix) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	key := s.hasher.Prefix('c', client)
	s.shards[shardOf(key)].forget(key, score.Client, s.nowMillis(), s.lastRules())
	return nil
}

// ForgetAccount implements store.Forgetter. The pairs and passwords are gone
// from the file when it returns; if the file cannot be written they stay.
func (s *Store) ForgetAccount(ctx context.Context, account string) (int, error) {
	if s.closed.Load() {
		return 0, store.ErrClosed
	}
	key := s.hasher.Account(account)
	s.shards[shardOf(key)].forget(key, score.Account, s.nowMillis(), s.lastRules())
	return s.notes.forget(ctx, key)
}
