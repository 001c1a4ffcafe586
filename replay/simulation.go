package replay

import (
	"context"
	"fmt"
	"slices"
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
	focus Focus
	trial guard.Trial // of one attempt after the other
	one   guard.Attempt

	// Who the attempts are about is found out ahead, in a goroutine of its own.
	ready chan prepared
	used  chan []guard.Prepared // come back

	// What came of the attempts goes on to the figures, which have a goroutine of
	// their own, and batches that were noted come back.
	stats *stats
	steps []step
	noted chan []step
	spare chan []step

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
	s := &simulation{
		set: set, rules: rules, said: newSayings(), focus: focus, stats: newStats(l, focus), done: make(chan error, 1),
		noted: make(chan []step, stepQueue), spare: make(chan []step, stepQueue+2),
		ready: make(chan prepared, readyQueue), used: make(chan []guard.Prepared, readyQueue+2),
		steps: make([]step, 0, stepBatch),
	}
	s.store, err = memory.Open(
		memory.Config{Subjects: maxSubjects, Bans: maxBans, Familiar: maxFamiliar},
		memory.Options{Now: s.clock.Now, Key: fixedKey, Alone: true})
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

const (
	stepBatch = 512 // attempts whose figures are noted at once
	stepQueue = 4   // batches of them that wait
	// readyQueue is how many batches of attempts wait of which it is known who they
	// are about.
	readyQueue = 2
)

// prepared is a part of a batch, and who each of its attempts is about.
type prepared struct {
	part
	who []guard.Prepared
}

// prepare finds out who the attempts of parts are about until there are no more.
func (s *simulation) prepare(ctx context.Context, parts <-chan part) error {
	defer close(s.ready)
	for p := range parts {
		var who []guard.Prepared
		select {
		case who = <-s.used:
		default:
		}
		who = slices.Grow(who[:0], len(p.attempts))[:len(p.attempts)]
		for i := range p.attempts {
			s.guard.Prepare(&p.attempts[i], &who[i])
		}
		select {
		case s.ready <- prepared{p, who}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// run replays what is prepared until there is no more, and has the figures noted.
func (s *simulation) run(ctx context.Context) error {
	defer close(s.noted)
	for p := range s.ready {
		for i := range p.attempts {
			if err := s.attempt(ctx, &p.attempts[i], &p.who[i]); err != nil {
				return err
			}
		}
		p.of.release()
		select {
		case s.used <- p.who:
		default:
		}
	}
	return s.hand(ctx)
}

// hand hands on the figures of what was replayed since it last did.
func (s *simulation) hand(ctx context.Context) error {
	select {
	case s.noted <- s.steps:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case s.steps = <-s.spare:
	default:
		s.steps = make([]step, 0, stepBatch)
	}
	return nil
}

// note takes the figures of all attempts.
func (s *simulation) note() {
	for steps := range s.noted {
		for i := range steps {
			s.stats.note(&steps[i])
		}
		select {
		case s.spare <- steps[:0]:
		default:
		}
	}
}

// attempt lets the guard judge and count what a line of the log tells of. A line
// that stands for several attempts is as many, since each would have been judged.
func (s *simulation) attempt(ctx context.Context, a *guard.Attempt, who *guard.Prepared) error {
	s.clock.reach(a.At)
	one := a
	if a.Count > 1 {
		s.one = *a
		one, s.one.Count = &s.one, 1
	}
	times := 1
	for left := max(a.Count, 1); left > 0; left -= times {
		times = 1
		if s.trial.Asked.Rule == guard.RuleBan && left < a.Count {
			times = left // a ban counts nothing: the others meet it as the last one did
		}
		if err := s.guard.TryPrepared(ctx, one, who, &s.trial); err != nil {
			return fmt.Errorf("simulating: %w", err)
		}
		if len(s.steps) == stepBatch {
			if err := s.hand(ctx); err != nil {
				return err
			}
		}
		s.steps = s.steps[:len(s.steps)+1]
		s.steps[len(s.steps)-1].of(a, &s.trial, times, s.focus)
	}
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
