package admin

import (
	"context"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/redis"
)

// Cluster lists the hosts that share a ledger. *redis.Store is one.
type Cluster interface {
	Hosts(ctx context.Context) ([]redis.Host, error)
}

const (
	maxWait  = time.Minute
	pollAcks = 50 * time.Millisecond // doubled up to pollLong
	pollLong = time.Second
)

// waiting is how long a request wants to wait.
func waiting(seconds float64) (time.Duration, error) {
	if !(seconds >= 0 && seconds <= maxWait.Seconds()) {
		return 0, api.Wrong("wait", "is %v; allowed is 0 to %v seconds", seconds, maxWait.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// acknowledged waits until every host has come to the latest of some positions,
// for a while at most, and says which have.
func (c *Control) acknowledged(ctx context.Context, out *api.Changes, positions []store.Position, wait time.Duration) {
	var at store.Position
	for _, p := range positions {
		if p.IsZero() {
			out.Warnings = append(out.Warnings, "Redis does not answer: this host knows of it, the others are told when Redis is back")
			out.Hosts = []api.Ack{{Host: c.options.Host, Mode: out.Mode, Known: true}}
			return
		}
		at = later(at, p)
	}
	out.Position = at.String()
	deadline := time.Now().Add(wait)
	for pause := pollAcks; ; pause = min(2*pause, pollLong) {
		acks, note, all := c.acks(ctx, at)
		out.Hosts = acks
		if all || time.Now().After(deadline) || ctx.Err() != nil {
			if note != "" {
				out.Warnings = append(out.Warnings, note)
			}
			return
		}
		select {
		case <-time.After(min(pause, time.Until(deadline)+time.Millisecond)):
		case <-ctx.Done():
		case <-c.stopping:
			return
		}
	}
}

// acks says which hosts have come to a position, and whether all have.
func (c *Control) acks(ctx context.Context, at store.Position) (acks []api.Ack, note string, all bool) {
	hosts, note := c.hosts(ctx)
	all = true
	for i := range hosts {
		h := &hosts[i]
		a := api.Ack{Host: h.Name, Mode: h.Mode, Known: reached(h.Position, at)}
		if h.Name == c.options.Host {
			a.Known = c.options.Guard.Position().Compare(at) >= 0
		}
		if f := h.Firewall; f != nil {
			switch {
			case f.State != "running":
				a.Firewall = f.State
			case reached(f.Position, at):
				a.Firewall = "enforced"
			default:
				a.Firewall, all = "pending", false
			}
		}
		if h.Version == "" {
			a.Known = true // only its firewall agent speaks, and no verdicts are given there
		}
		all = all && a.Known
		acks = append(acks, a)
	}
	return acks, note, all
}

// reached tells whether a position, as a text, is not before another.
func reached(text string, at store.Position) bool {
	p, err := store.ParsePosition(text)
	return err == nil && p.Compare(at) >= 0
}

// hostsTime bounds the listing of hosts.
const hostsTime = time.Second

// hosts lists the hosts of the cluster, this one at least, and says why others
// are missing.
func (c *Control) hosts(ctx context.Context) (hosts []api.Host, note string) {
	if c.options.Cluster != nil {
		limited, cancel := context.WithTimeout(ctx, hostsTime)
		defer cancel()
		listed, err := c.options.Cluster.Hosts(limited)
		if err != nil {
			note = "Redis does not answer, so the other hosts are not known now"
		}
		for i := range listed {
			hosts = append(hosts, fromHost(&listed[i]))
		}
	}
	here := false
	for i := range hosts {
		here = here || hosts[i].Name == c.options.Host
	}
	if !here {
		hosts = append(hosts, c.self())
	}
	lag(hosts, time.Now())
	return hosts, note
}

// self is this host, where no list has it.
func (c *Control) self() api.Host {
	h := api.Host{Name: c.options.Host, Version: c.options.Version, Mode: c.mode(), Heard: time.Now().UTC(), Position: c.options.Guard.Position().String()}
	if a := c.options.Agent(); a != nil {
		agent := api.FromAgent(a)
		h.Firewall = &agent
	}
	return h
}

func fromHost(h *redis.Host) api.Host {
	out := api.Host{Name: h.Name, Version: h.Version, Mode: h.Mode, Heard: h.At.UTC()}
	if !h.Position.IsZero() {
		out.Position = h.Position.String()
	}
	if h.Firewall != nil {
		agent := api.FromAgent(h.Firewall)
		out.Firewall = &agent
	}
	return out
}

// lag works out for how long hosts that are behind the foremost one have been so,
// at least: since its latest change was made.
func lag(hosts []api.Host, now time.Time) {
	var foremost store.Position
	for i := range hosts {
		if p, err := store.ParsePosition(hosts[i].Position); err == nil {
			foremost = later(foremost, p)
		}
	}
	age := max(now.Sub(time.UnixMilli(int64(foremost.Millis))), time.Millisecond)
	for i := range hosts {
		if p, err := store.ParsePosition(hosts[i].Position); err == nil && p.Compare(foremost) < 0 {
			hosts[i].Lag = age.Seconds()
		}
	}
}
