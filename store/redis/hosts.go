package redis

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
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
	Name     string         `json:"-"`
	Version  string         `json:"version"`  // "" for a host of which only the firewall agent speaks
	Mode     string         `json:"mode"`     // observe or enforce
	Position store.Position `json:"position"` // the last change of the ledger that it knows
	At       time.Time      `json:"-"`        // when it said so, by the ledger's clock

	// Instance is random for each process: two of them under one name are two
	// hosts that were given the same one.
	Instance string `json:"-"`

	// Firewall is what the host's firewall agent says, nil if there is none. In a
	// heartbeat it may be set by a process that is the agent too; an agent of its
	// own says it by ReportAgent.
	Firewall *store.AgentState `json:"-"`
}

// RunHeartbeat says what about returns, every Heartbeat, until ctx ends, and
// then takes its leave. It goes on while Redis cannot be reached.
func (l *ledger) RunHeartbeat(ctx context.Context, about func() Host) error {
	ticker := time.NewTicker(l.cfg.Heartbeat)
	defer ticker.Stop()
	failing, doubled := false, false
	for {
		h := about()
		others, err := l.beat(ctx, h)
		if err != nil && !failing && ctx.Err() == nil {
			l.log.Warn("the other hosts cannot be told that this one is here", zap.Error(err))
		}
		failing = err != nil
		if err == nil {
			if others > 0 && !doubled {
				l.log.Warn("another host uses this host's name; give each a host of its own in the configuration, or what they do cannot be told apart",
					zap.String("host", h.Name), zap.Int("others", others))
			}
			doubled = others > 0
		}
		select {
		case <-ticker.C:
		case <-l.nudged:
		case <-l.done:
			return nil
		case <-ctx.Done():
			l.leave(context.WithoutCancel(ctx), h)
			return ctx.Err()
		}
	}
}

// Nudge has RunHeartbeat speak at once, because what it would say has changed and
// somebody may be waiting to hear it.
func (l *ledger) Nudge() {
	select {
	case l.nudged <- struct{}{}:
	default:
	}
}

// beat tells of a host, and returns how many others live under its name.
func (l *ledger) beat(ctx context.Context, h Host) (others int, err error) {
	if err := checkHostName(h.Name); err != nil {
		return 0, err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return 0, fmt.Errorf("the heartbeat of %s: %w", h.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, min(l.cfg.Heartbeat, l.cfg.Timeouts.Call))
	defer cancel()
	if h.Firewall != nil {
		if err := l.ReportAgent(ctx, h.Name, *h.Firewall); err != nil {
			return 0, err
		}
	}
	return l.runHosts(ctx, "beat", maxHosts, h.Name, l.instance, text).Int()
}

// ReportAgent tells the other hosts what a host's firewall agent enforces. It is
// to be called when that changes, and at least every Heartbeat: an agent that was
// not heard of for three of them is gone.
func (l *ledger) ReportAgent(ctx context.Context, host string, a store.AgentState) error {
	if err := checkHostName(host); err != nil {
		return err
	}
	a = a.Checked()
	a.At = time.Time{} // the ledger's clock says it
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("the firewall agent of %s: %w", host, err)
	}
	if err := l.runHosts(ctx, "agent", maxHosts, host, text).Err(); err != nil {
		return l.failed("telling of the firewall agent", err)
	}
	return nil
}

// RetireAgent tells that a host's firewall agent has ended on purpose.
func (l *ledger) RetireAgent(ctx context.Context, host string) error {
	if err := l.runHosts(ctx, "retire", host).Err(); err != nil {
		return l.failed("telling of the firewall agent's end", err)
	}
	return nil
}

func checkHostName(name string) error {
	if name == "" || len(name) > maxHostName {
		return fmt.Errorf("a host's name has 1 to %d octets, and not %d", maxHostName, len(name))
	}
	for _, r := range name {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return fmt.Errorf("a host's name has the unprintable %U", r)
		}
	}
	return nil
}

// leave makes a host that is stopped on purpose disappear at once, and the agent
// that is the same process. One that cannot say so disappears a little later.
func (l *ledger) leave(ctx context.Context, h Host) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeouts.Call)
	defer cancel()
	_ = l.runHosts(ctx, "leave", h.Name, l.instance).Err()
	if h.Firewall != nil {
		_ = l.RetireAgent(ctx, h.Name)
	}
}

// Hosts lists the hosts that were heard of lately, by name, at most 1000, and
// those of which only the firewall agent was. A name that is listed twice is
// used by two hosts.
func (l *ledger) Hosts(ctx context.Context) ([]Host, error) {
	reply, err := l.runHosts(ctx, "list").Slice()
	if err == nil && len(reply) != 2 {
		err = fmt.Errorf("the script answered %d lists", len(reply))
	}
	if err != nil {
		return nil, l.failed("listing the hosts", err)
	}
	return readHosts(reply[0], reply[1], func(who string, err error) {
		l.log.Warn("what a host says of itself cannot be read", zap.String("host", store.Printable(who)), zap.Error(err))
	}), nil
}

// readHosts reads what processes and agents said, and passes over what nobody can
// have said.
func readHosts(processes, agents any, unreadable func(who string, err error)) (hosts []Host) {
	spoken(processes, unreadable, func(process string, at time.Time, text string) error {
		h := Host{At: at}
		h.Name, h.Instance, _ = strings.Cut(process, separator)
		if err := errors.Join(checkHostName(h.Name), json.Unmarshal([]byte(text), &h)); err != nil {
			return err
		}
		h.Instance, h.Version, h.Mode = store.Printable(h.Instance), store.Printable(h.Version), store.Printable(h.Mode)
		hosts = append(hosts, h)
		return nil
	})
	spoken(agents, unreadable, func(name string, at time.Time, text string) error {
		var a store.AgentState
		if err := errors.Join(checkHostName(name), json.Unmarshal([]byte(text), &a)); err != nil {
			return err
		}
		a = a.Checked()
		a.At = at
		hosts = withAgent(hosts, name, &a)
		return nil
	})
	slices.SortFunc(hosts, func(a, b Host) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Instance, b.Instance))
	})
	return hosts
}

// spoken calls each with what a process or an agent said of itself, and unreadable
// where that fails.
func spoken(list any, unreadable func(who string, err error), each func(who string, at time.Time, text string) error) {
	parts, _ := list.([]any)
	for i := 0; i+2 < len(parts); i += 3 {
		who, _ := parts[i].(string)
		at, _ := parts[i+1].(string)
		text, _ := parts[i+2].(string)
		ms, err := strconv.ParseInt(at, 10, 64)
		if err == nil && !isTime(ms) {
			err = fmt.Errorf("%w: a host at %d", errEntry, ms)
		}
		if err == nil {
			err = each(who, millis(ms), text)
		}
		if err != nil {
			unreadable(who, err)
		}
	}
}

// withAgent gives the hosts of a name their agent, or makes one of it.
func withAgent(hosts []Host, name string, a *store.AgentState) []Host {
	found := false
	for i := range hosts {
		if hosts[i].Name == name {
			hosts[i].Firewall, found = a, true
		}
	}
	if !found {
		hosts = append(hosts, Host{Name: name, At: a.At, Firewall: a})
	}
	return hosts
}

func (l *ledger) runHosts(ctx context.Context, what string, args ...any) *goredis.Cmd {
	slot := "{" + l.cfg.Prefix + ":hosts}:"
	life := (missedBeats * l.cfg.Heartbeat).Milliseconds()
	return l.hosts.Run(ctx, l.client, []string{slot + "beats", slot + "about", slot + "heard", slot + "agents"},
		append([]any{what, l.millisOrServer(), life}, args...)...)
}
