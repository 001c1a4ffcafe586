package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
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
)

// script is a Lua script and the name by which a server knows it.
type script struct{ source, sha string }

func newScript(source string) script {
	sum := sha1.Sum([]byte(source))
	return script{source, hex.EncodeToString(sum[:])}
}

// scripts are the scripts of the two kinds of slot, by side.
type scripts [2]script

func newScripts() scripts {
	common := subjectSource + valueSource
	return scripts{onNetwork: newScript(common + networkSource), onAccount: newScript(common + accountSource)}
}

// side is the slot in which a script works.
type side uint8

const (
	onNetwork side = iota
	onAccount
)

// call is one run of a script, and then its answer.
type call struct {
	attempt *attempt
	side    side
	verb    verb
	keys    []string
	args    []any
	reply   string
}

// run makes calls in one pipeline. A server that does not know a script, after a
// restart, a failover or a SCRIPT FLUSH, is sent its text in a second one: the
// others of the pipeline have been carried out.
func (s *Store) run(ctx context.Context, calls []call) error {
	unknown, err := s.send(ctx, calls, func(p goredis.Pipeliner, c *call) *goredis.Cmd {
		return p.EvalSha(ctx, s.scripts[c.side].sha, c.keys, c.args...)
	})
	if err != nil || len(unknown) == 0 {
		return err
	}
	s.meters.reloaded.Add(float64(len(unknown)))
	again := make([]call, len(unknown))
	for i, n := range unknown {
		again[i] = calls[n]
	}
	unknown2, err := s.send(ctx, again, func(p goredis.Pipeliner, c *call) *goredis.Cmd {
		return p.Eval(ctx, s.scripts[c.side].source, c.keys, c.args...)
	})
	if err == nil && len(unknown2) > 0 {
		err = fmt.Errorf("Redis does not know a script that it was sent")
	}
	for i, n := range unknown {
		calls[n].reply = again[i].reply
	}
	return err
}

// send makes calls in one pipeline and returns which of them failed because the
// server does not know the script. Any other failure fails all.
func (s *Store) send(
	ctx context.Context, calls []call, queue func(goredis.Pipeliner, *call) *goredis.Cmd,
) (unknown []int, err error) {
	pipe := s.client.Pipeline()
	commands := make([]*goredis.Cmd, len(calls))
	for i := range calls {
		commands[i] = queue(pipe, &calls[i])
	}
	_, failed := pipe.Exec(ctx)
	for i, c := range commands {
		reply, err := c.Text()
		switch {
		case err == nil:
			calls[i].reply = reply
		case goredis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, i)
		default:
			return nil, err
		}
	}
	if failed != nil && len(unknown) == 0 {
		return nil, failed
	}
	return unknown, nil
}
