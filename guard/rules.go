package guard

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Rules are a Config made ready for use. They are immutable.
type Rules struct {
	score   score.Rules
	enforce bool

	client4, client6, network4, network6 int

	points       PointsConfig
	office       int
	banPrivate   bool
	ladder       store.Ladder
	tarpit       TarpitConfig
	waiting      WaitingConfig
	brake        BrakeConfig
	traps        map[string]bool
	allowClients *bart.Lite
	allowAccount map[string]bool

	defaultDomain string
}

// placeLife is how long an attempt may be in flight: Dovecot destroys a request
// much later, but Postfix gives up waiting for Dovecot after 10 seconds.
const placeLife = 10 * time.Second

// NewRules makes rules of a configuration that has passed Check. With enforce
// false the guard decides, records and counts, but refuses nothing.
func NewRules(c Config, enforce bool) (*Rules, error) {
	r := &Rules{
		enforce: enforce,
		score:   scoreRules(c),
		client4: c.Client.IPv4, client6: c.Client.IPv6,
		network4: c.Network.IPv4, network6: c.Network.IPv6,
		points:        c.Points,
		office:        c.Familiar.Office,
		banPrivate:    c.Ban.Private,
		ladder:        store.Ladder{First: c.Ban.First, Max: c.Ban.Max, Forget: c.Ban.Forget},
		tarpit:        c.Tarpit,
		waiting:       c.Waiting,
		brake:         c.Brake,
		allowClients:  new(bart.Lite),
		defaultDomain: c.DefaultDomain,
	}
	for _, s := range c.AllowClients {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("allow_clients: %w", err)
		}
		r.allowClients.Insert(p)
	}
	r.traps = r.accounts(c.TrapAccounts)
	r.allowAccount = r.accounts(c.AllowAccounts)
	return r, nil
}

// AllowedClients are the addresses and prefixes that the configuration exempts.
func (r *Rules) AllowedClients() []netip.Prefix { return slices.Collect(r.allowClients.All()) }

// Enforce tells whether the rules are enforced or only observed.
func (r *Rules) Enforce() bool { return r.enforce }

// Tiers are the scores from which a kind of subject is delayed, refused and
// banned.
func (r *Rules) Tiers(k score.Kind) score.Tiers { return r.score.Tiers(k) }

// Office is from how many familiar accounts a network counts as an office.
func (r *Rules) Office() int { return r.office }

// BrakePause is how long automatic bans pause once the brake is pulled.
func (r *Rules) BrakePause() time.Duration { return r.brake.Pause }

func scoreRules(c Config) score.Rules {
	return score.Rules{
		HalfLife:       c.HalfLife.Milliseconds(),
		Failure:        milli(c.Points.Failure),
		UnknownAccount: milli(c.Points.UnknownAccount),
		FurtherAccount: milli(c.Points.FurtherAccount),
		FreeRepeats:    c.Points.FreeRepeats,
		Client:         score.Tiers{Tarpit: milli(c.Client.Tarpit), Refuse: milli(c.Client.Refuse), Ban: milli(c.Client.Ban)},
		Network:        score.Tiers{Tarpit: milli(c.Network.Tarpit), Refuse: milli(c.Network.Refuse), Ban: milli(c.Network.Ban)},
		Account:        score.Tiers{Tarpit: milli(c.Account.Tarpit), Refuse: milli(c.Account.Refuse)},
		// A familiar pair is delayed like a client, and refused at its own budget.
		Pair:        score.Tiers{Tarpit: min(milli(c.Client.Tarpit), milli(c.Familiar.Budget)), Refuse: milli(c.Familiar.Budget)},
		PlaceLife:   placeLife.Milliseconds(),
		FamiliarFor: c.Familiar.For.Milliseconds(),
		Remember:    c.Passwords.Remember,
		RememberFor: c.Passwords.For.Milliseconds(),
	}
}

func milli(points float64) score.Milli {
	return score.Milli(math.Round(points * float64(score.Point)))
}

// accounts makes a set of canonical accounts.
func (r *Rules) accounts(logins []string) map[string]bool {
	set := make(map[string]bool, len(logins))
	for _, l := range logins {
		set[r.Account(l)] = true
	}
	return set
}

// parsePrefix reads an address or a prefix; an address is the prefix of itself.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = clientAddr(a)
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address (192.0.2.1) nor a prefix (192.0.2.0/24)", s)
	}
	return unwrap(p.Masked()), nil
}

// unwrap turns a prefix of addresses that carry IPv4 ones into the IPv4 prefix,
// as clients are unwrapped before they are looked up.
func unwrap(p netip.Prefix) netip.Prefix {
	head := 0
	switch a := p.Addr(); {
	case a.Is4In6(), nat64.Contains(a):
		head = 96
	case sixTo.Contains(a):
		head = 16
	}
	if inner := clientAddr(p.Addr()); head > 0 && inner.Is4() && p.Bits() >= head && p.Bits() <= head+32 {
		return netip.PrefixFrom(inner, p.Bits()-head).Masked()
	}
	return p
}
