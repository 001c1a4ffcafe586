package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store/memory"
)

// A RuleSet is the rules of one simulation, and what they are called in a report.
type RuleSet struct {
	Name  string
	Rules guard.Config // has passed its Check
}

// simulation is a guard that lives in the time of a log, and enforces: whom it
// refuses is not verified, whatever the log says became of him. It belongs to one
// goroutine.
type simulation struct {
	set   RuleSet
	rules *guard.Rules
	clock clock
	store *memory.Store
	guard *guard.Guard
	said  *sayings
	stats *stats

	// Of one attempt, so that none allocates.
	asked   guard.Verdict
	told    [1]guard.Attempt
	counted [1]guard.Verdict

	stop context.CancelFunc
	done chan error
}

// What a simulation's store holds at most. Beyond that the least valuable scores
// go, as they do in serve.
const (
	maxSubjects = 1_000_000
	maxBans     = 100_000
	maxFamiliar = 500_000
)

// fixedKey makes the same log have the same report every time. Nobody can use it
// against a guard that runs: each has a key of its own.
var fixedKey = [16]byte{'s', 'a', 's', 'l', 'g', 'u', 'a', 'r', 'd', ' ', 'r', 'e', 'p', 'l', 'a', 'y'}

// endTimeout bounds the end of a simulation, which has nothing left to write.
const endTimeout = 10 * time.Second

// newSimulation starts a guard. It runs until close.
func newSimulation(set RuleSet, l limits, focus Focus) (*simulation, error) {
	set.Rules.Waiting.Max = 0 // nothing is in flight for others to wait for
	rules, err := guard.NewRules(set.Rules, true)
	if err != nil {
		return nil, fmt.Errorf("the rules of %s: %w", set.Name, err)
	}
	focus.Account = rules.Account(focus.Account)
	s := &simulation{set: set, rules: rules, said: newSayings(), stats: newStats(l, focus), done: make(chan error, 1)}
	s.store, err = memory.Open(
		memory.Config{Subjects: maxSubjects, Bans: maxBans, Familiar: maxFamiliar},
		memory.Options{Now: s.clock.Now, Key: fixedKey})
	if err != nil {
		return nil, err
	}
	number := uint64(0)
	s.guard, err = guard.New(guard.Options{
		Rules: rules, Scores: s.store, Ledger: &ledger{Ledger: s.store}, Key: s.store.Key(), Host: "replay",
		Now: s.clock.Now, Logger: s.said.logger(),
		Random: func() uint64 { number++; return number },
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- s.guard.Run(ctx) }()
	<-s.guard.Synced() // the ledger is empty: it takes no time
	return s, nil
}

// attempt lets the guard judge and count what a line of the log tells of. A line
// that stands for several attempts is as many, since each would have been judged.
func (s *simulation) attempt(ctx context.Context, a *guard.Attempt) error {
	s.clock.reach(a.At)
	one := *a
	one.Count = 1
	st := step{
		at:     a.At.UnixMilli(),
		failed: failed(a.Outcome), passed: a.Outcome == score.Success,
		account: s.rules.Account(a.Login),
	}
	if a.Client.IsValid() {
		st.client, st.network = s.rules.Subjects(a.Client)
		st.allowed = s.rules.AllowsClient(a.Client)
	}
	for left := max(a.Count, 1); left > 0; left -= st.times {
		st.times = 1
		if s.asked.Rule == guard.RuleBan && left < a.Count {
			st.times = left // a ban counts nothing: the others meet it as the last one did
		}
		if err := s.one(ctx, &one, &st); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulation) one(ctx context.Context, a *guard.Attempt, st *step) error {
	outcome := a.Outcome
	a.Outcome = score.Unknown
	s.asked = s.guard.Check(ctx, a)
	a.Outcome = outcome
	s.told[0] = *a
	if s.asked.Action == guard.Refuse {
		s.told[0].Outcome = score.Refused
	}
	if err := s.guard.Apply(ctx, s.told[:], s.counted[:]); err != nil {
		return fmt.Errorf("simulating: %w", err)
	}
	st.asked, st.counted = &s.asked, &s.counted[0]
	s.stats.note(st)
	return nil
}

// failed tells whether an outcome is a failure of the client's.
func failed(o score.Outcome) bool {
	return o == score.Failure || o == score.UnknownAccount || o == score.Trapped
}

// close ends the guard and its store.
func (s *simulation) close() error {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var err error
	select {
	case err = <-s.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if e := s.store.Close(ctx); err == nil {
		err = e
	}
	return err
}
