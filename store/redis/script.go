package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

var (
	//go:embed subject.lua
	subjectSource string
	//go:embed value.lua
	valueSource string
	//go:embed network.lua
	networkSource string
	//go:embed account.lua
	accountSource string
	//go:embed run.lua
	runSource string
)

// script is a Lua script and the name by which a server knows it.
type script struct{ source, sha string }

func newScript() script {
	source := subjectSource + valueSource + networkSource + accountSource + runSource
	sum := sha1.Sum([]byte(source))
	return script{source, hex.EncodeToString(sum[:])}
}

var errReplies = errors.New("the script does not answer every operation")

// side is the slot in which an operation is carried out.
type side uint8

const (
	onNetwork side = iota
	onAccount
)

// call is an operation in one slot, and then its answer.
type call struct {
	attempt   *attempt
	side      side
	verb      verb
	keys      [4]string
	operation string // packed
	reply     string
	err       error
}

// named are the keys that the script is given for it.
func (c *call) named() []string {
	if c.side == onAccount {
		return c.keys[:3]
	}
	return c.keys[:]
}

// carryOut makes calls and notes their answers.
func (s *Store) carryOut(ctx context.Context, calls []call) error {
	if err := s.run(ctx, calls); err != nil {
		return err
	}
	for i := range calls {
		if err := calls[i].attempt.take(&calls[i]); err != nil {
			return err
		}
	}
	return nil
}

// run makes calls. A Cluster has them in slots of their own, so that each is a run
// of the script, all in one pipeline. Elsewhere those that come at the same time,
// of this and of other attempts, are one run.
func (s *Store) run(ctx context.Context, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	all := make([]*call, len(calls))
	for i := range calls {
		all[i] = &calls[i]
	}
	if s.gatherer != nil {
		return s.gatherer.do(ctx, all)
	}
	runs := make([][]*call, len(all))
	for i := range all {
		runs[i] = all[i : i+1]
	}
	if err := s.send(ctx, runs); err != nil {
		return err
	}
	return firstError(all)
}

func firstError(calls []*call) error {
	for _, c := range calls {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// send makes runs of the script in one pipeline. A server that does not know it,
// after a restart, a failover or a SCRIPT FLUSH, is sent its text in a second one:
// the others of the pipeline have been carried out. An error is of all, and some may
// have been carried out; what fails a single operation is in its call.
func (s *Store) send(ctx context.Context, runs [][]*call) error {
	unknown, err := s.pipeline(ctx, runs, "evalsha", s.script.sha)
	if err != nil || len(unknown) == 0 {
		return err
	}
	s.meters.reloaded.Add(float64(len(unknown)))
	if unknown, err = s.pipeline(ctx, unknown, "eval", s.script.source); err == nil && len(unknown) > 0 {
		err = errors.New("Redis does not know a script that it was sent")
	}
	return err
}

// pipeline returns the runs that failed because the server does not know the script.
func (s *Store) pipeline(ctx context.Context, runs [][]*call, command, script string) (unknown [][]*call, err error) {
	pipe := s.client.Pipeline()
	commands := make([]*goredis.SliceCmd, len(runs))
	for i, run := range runs {
		commands[i] = goredis.NewSliceCmd(ctx, arguments(run, command, script)...)
		_ = pipe.Process(ctx, commands[i]) // it fails in Exec
	}
	_, failed := pipe.Exec(ctx)
	for i, c := range commands {
		switch replies, err := c.Result(); {
		case err == nil:
			if err := take(runs[i], replies); err != nil {
				return nil, err
			}
		case goredis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, runs[i])
		default:
			return nil, err
		}
	}
	if failed != nil && len(unknown) == 0 {
		return nil, failed
	}
	return unknown, nil
}

// arguments are those of a command that runs the script. A pointer to a string spares
// the copy that an interface would make of it; go-redis takes either, but looks for
// the slot in a first key that is a string.
func arguments(run []*call, command, script string) []any {
	keys := 0
	for _, c := range run {
		keys += len(c.named())
	}
	args := append(make([]any, 0, 4+keys+len(run)), command, script, keys)
	for _, c := range run {
		for i := range c.named() {
			args = append(args, &c.keys[i])
		}
	}
	args[3] = run[0].keys[0]
	args = append(args, run[0].attempt.rules)
	for _, c := range run {
		args = append(args, &c.operation)
	}
	return args
}

// take gives each call its answer.
func take(run []*call, replies []any) error {
	if len(replies) != len(run) {
		return errReplies
	}
	for i, c := range run {
		switch r := replies[i].(type) {
		case string:
			c.reply = r
		case error:
			c.err = fmt.Errorf("an operation of the script: %w", r)
		default:
			return errReplies
		}
	}
	return nil
}
