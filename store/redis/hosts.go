package redis

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

//go:embed hosts.lua
var hostsSource string

const (
	maxHosts    = 1000
	maxHostName = 253
	// missedBeats is after how many beats that did not come a host is gone.
	missedBeats = 3
)

// Host is what a host says of itself.
type Host struct {
	Name     string    `json:"-"`
	Version  string    `json:"version"`
	Mode     string    `json:"mode"`     // observe or enforce
	Position string    `json:"position"` // the last change of the ledger that it knows
	At       time.Time `json:"-"`        // when it said so, by the ledger's clock
}

// RunHeartbeat says what about returns, every Heartbeat, until ctx ends, and
// then takes its leave. It goes on while Redis cannot be reached.
func (l *ledger) RunHeartbeat(ctx context.Context, about func() Host) error {
	ticker := time.NewTicker(l.cfg.Heartbeat)
	defer ticker.Stop()
	failing := false
	for {
		h := about()
		err := l.beat(ctx, h)
		if err != nil && !failing && ctx.Err() == nil {
			l.log.Warn("the other hosts cannot be told that this one is here", zap.Error(err))
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-l.done:
			return nil
		case <-ctx.Done():
			l.leave(context.WithoutCancel(ctx), h.Name)
			return ctx.Err()
		}
	}
}

func (l *ledger) beat(ctx context.Context, h Host) error {
	if h.Name == "" || len(h.Name) > maxHostName {
		return fmt.Errorf("a host's name has 1 to %d octets, and not %d", maxHostName, len(h.Name))
	}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("the heartbeat of %s: %w", h.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, min(l.cfg.Heartbeat, l.cfg.Timeouts.Call))
	defer cancel()
	return l.runHosts(ctx, "beat", maxHosts, h.Name, text).Err()
}

// leave makes a host that is stopped on purpose disappear at once. One that
// cannot say so disappears a little later.
func (l *ledger) leave(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeouts.Call)
	defer cancel()
	_ = l.runHosts(ctx, "leave", name).Err()
}

// Hosts lists the hosts that were heard of lately, by name, at most 1000.
func (l *ledger) Hosts(ctx context.Context) ([]Host, error) {
	reply, err := l.runHosts(ctx, "list").StringSlice()
	if err != nil {
		return nil, l.failed("listing the hosts", err)
	}
	var hosts []Host
	for i := 0; i+2 < len(reply); i += 3 {
		h, err := decodeHost(reply[i], reply[i+1], reply[i+2])
		if err != nil {
			l.log.Warn("what a host says of itself cannot be read", zap.String("host", cut(reply[i])), zap.Error(err))
			continue
		}
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return hosts, nil
}

func decodeHost(name, at, about string) (h Host, err error) {
	if err := json.Unmarshal([]byte(about), &h); err != nil {
		return Host{}, err
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return Host{}, err
	}
	h.Name, h.At = name, millis(ms)
	return h, nil
}

func (l *ledger) runHosts(ctx context.Context, what string, args ...any) *goredis.Cmd {
	slot := "{" + l.cfg.Prefix + ":hosts}:"
	life := (missedBeats * l.cfg.Heartbeat).Milliseconds()
	return l.hosts.Run(ctx, l.client, []string{slot + "beats", slot + "about"},
		append([]any{what, l.millisOrServer(), life}, args...)...)
}
