package guard

import (
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

// brake stops automatic bans while the password database is broken: when the
// people who always log in fail all at once, from many networks, the world has
// not turned wicked. An attacker cannot pull it, because only failures from
// networks where the account has logged in before count.
type brake struct {
	mu     sync.Mutex
	recent [brakeMemory]familiarTry // the latest ones, in a circle
	next   int
	until  time.Time
}

const (
	brakeMemory = 1024
	brakeWindow = time.Minute
)

type familiarTry struct {
	at     time.Time
	pair   familiarPair
	failed bool
}

type familiarPair struct {
	network netip.Prefix
	account string
}

// on tells whether automatic bans pause at a time.
func (b *brake) on(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Before(b.until)
}

// note takes an attempt of a familiar pair into account and tells whether the
// brake has just been pulled.
func (b *brake) note(t familiarTry, c BrakeConfig) bool {
	if c.Networks <= 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent[b.next] = t
	b.next = (b.next + 1) % brakeMemory
	if !t.failed {
		return false
	}
	networks, failed, succeeded := map[netip.Prefix]bool{}, map[familiarPair]bool{}, map[familiarPair]bool{}
	for i := range b.recent {
		switch r := &b.recent[i]; {
		case r.at.IsZero() || t.at.Sub(r.at) > brakeWindow:
		case r.failed:
			networks[r.pair.network] = true
			failed[r.pair] = true
		default:
			succeeded[r.pair] = true
		}
	}
	// In a large house somebody always mistypes: it is a broken database only
	// when no more people get in than fail.
	if len(networks) < c.Networks || len(failed) < len(succeeded) {
		return false
	}
	pulled := !t.at.Before(b.until)
	b.until = t.at.Add(c.Pause)
	return pulled
}

// brakeNote tells the brake of an attempt of a familiar pair.
func (g *Guard) brakeNote(who *identity, failed bool, r *Rules) {
	t := familiarTry{at: who.at, pair: familiarPair{who.network, who.account}, failed: failed}
	if g.brake.note(t, r.brake) {
		g.log.Error("automatic bans pause: accounts fail from many networks where they always log in, "+
			"so the password database is likely broken; check it, bans resume by themselves",
			zap.Int("networks", r.brake.Networks), zap.Duration("pause", r.brake.Pause))
		if g.observe != nil {
			g.observe(Event{Kind: Braked, At: who.at, Host: g.host, Verdict: Verdict{rules: r}})
		}
	}
}
