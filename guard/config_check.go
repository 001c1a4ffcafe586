package guard

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
)

// Bounds that several keys share.
const (
	day       = 24 * time.Hour
	maxPoints = 1000 // of every score; the arithmetic bears more, no administrator does
	minPoints = 0.1  // below it a score would round to zero, which means off
	maxList   = 10000
	maxLogin  = 320 // octets: 64 of the local part, @, 255 of the domain (RFC 5321, 4.5.3.1)
)

// Check reports everything that is wrong with the configuration. Keys are
// relative to it, such as "client.ban"; every text says what is allowed.
func (c *Config) Check(problem func(key, text string)) {
	p := problems(problem)
	p.span("half_life", c.HalfLife, time.Minute, 7*day, "1m to 7d")
	p.number("points.failure", c.Points.Failure, minPoints, 100)
	p.number("points.unknown_account", c.Points.UnknownAccount, 0, 100)
	p.number("points.further_account", c.Points.FurtherAccount, 0, 100)
	p.whole("points.free_repeats", c.Points.FreeRepeats, 0, 60)
	c.checkTiers(p)
	c.checkPrefixes(p)

	p.span("familiar.for", c.Familiar.For, day, 366*day, "1d to 366d")
	p.number("familiar.budget", c.Familiar.Budget, minPoints, maxPoints)
	p.whole("familiar.office", c.Familiar.Office, 1, 1000)
	p.whole("passwords.remember", c.Passwords.Remember, 0, 3)
	p.span("passwords.for", c.Passwords.For, day, 366*day, "1d to 366d")
	c.checkDelays(p)
	c.checkBans(p)
	c.checkLists(p)
}

// checkTiers holds that each tier is harsher than the one before it.
func (c *Config) checkTiers(p problems) {
	p.tiers(
		tier{"client.tarpit", c.Client.Tarpit, false},
		tier{"client.refuse", c.Client.Refuse, false},
		tier{"client.ban", c.Client.Ban, false})
	p.tiers(
		tier{"network.tarpit", c.Network.Tarpit, true},
		tier{"network.refuse", c.Network.Refuse, true},
		tier{"network.ban", c.Network.Ban, true})
	p.tiers(
		tier{"account.tarpit", c.Account.Tarpit, true},
		tier{"account.refuse", c.Account.Refuse, true})
	p.bearFailure("client.refuse", c.Client.Refuse, c.Points.Failure)
	p.bearFailure("network.refuse", c.Network.Refuse, c.Points.Failure)
	p.bearFailure("account.refuse", c.Account.Refuse, c.Points.Failure)
	p.bearFailure("familiar.budget", c.Familiar.Budget, c.Points.Failure)
}

func (c *Config) checkPrefixes(p problems) {
	p.prefixes("ipv4_prefix", c.Client.IPv4, 24, 32, c.Network.IPv4, 8)
	p.prefixes("ipv6_prefix", c.Client.IPv6, 48, 128, c.Network.IPv6, 16)
}

// checkDelays bounds what holds processes and connections of Postfix and
// Dovecot.
func (c *Config) checkDelays(p problems) {
	p.span("tarpit.max", c.Tarpit.Max, time.Second, 30*time.Second, "1s to 30s")
	p.seconds("tarpit.max", c.Tarpit.Max)
	p.span("tarpit.max_smtp", c.Tarpit.MaxSMTP, time.Second, 7*time.Second,
		"1s to 7s (Postfix waits for Dovecot for 10s, which delays a failure by 2s itself)")
	p.seconds("tarpit.max_smtp", c.Tarpit.MaxSMTP)
	p.whole("tarpit.held_postfix", c.Tarpit.HeldPostfix, 0, 1000)
	p.whole("tarpit.held_dovecot", c.Tarpit.HeldDovecot, 0, 1000)
	p.whole("tarpit.held_client", c.Tarpit.HeldClient, 0, 100)

	p.span("waiting.max", c.Waiting.Max, 0, time.Second, "0s to 1s")
	p.whole("waiting.held_client", c.Waiting.HeldClient, 0, 20)
	p.whole("waiting.held_host", c.Waiting.HeldHost, 0, 50)
}

func (c *Config) checkBans(p problems) {
	p.span("ban.first", c.Ban.First, time.Minute, 366*day, "1m to ban.max")
	p.span("ban.max", c.Ban.Max, time.Minute, 366*day, "ban.first to 366d")
	p.span("ban.forget", c.Ban.Forget, time.Minute, 3660*day, "ban.max to 3660d")
	if c.Ban.First > c.Ban.Max {
		p("ban.max", "is shorter than ban.first; allowed is ban.first to 366d")
	}
	if c.Ban.Forget < c.Ban.Max {
		p("ban.forget", "is shorter than ban.max, so that a ban would be forgotten while it lasts; "+
			"allowed is ban.max to 3660d")
	}
	p.whole("brake.networks", c.Brake.Networks, 0, 1000)
	p.span("brake.pause", c.Brake.Pause, time.Minute, day, "1m to 1d")
}

func (c *Config) checkLists(p problems) {
	if c.DefaultDomain != "" && !isDomain(c.DefaultDomain) {
		p("default_domain", fmt.Sprintf("%q is no domain; allowed is a name such as example.org, or \"\"", c.DefaultDomain))
	}
	p.logins("trap_accounts", c.TrapAccounts)
	p.logins("allow_accounts", c.AllowAccounts)
	p.atMost("allow_clients", len(c.AllowClients))
	for i, s := range c.AllowClients {
		if complaint := checkAllowClient(s); complaint != "" {
			p(fmt.Sprintf("allow_clients[%d]", i), complaint)
		}
	}
}

// checkAllowClient returns what is wrong with an entry, or "". A prefix with
// host bits is refused rather than masked: one who writes 192.0.2.7/24 meant
// either the host or the network, and only he knows which.
func checkAllowClient(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return fmt.Sprintf("%q has a zone, which no client has; allowed is %s", s, a.WithZone(""))
		}
		return ""
	}
	pre, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is neither an address nor a prefix; allowed are 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 and the like", s)
	case pre.Bits() == 0:
		return fmt.Sprintf("%q allows every client there is; allowed are prefixes of at least /1", s)
	case pre != pre.Masked():
		return fmt.Sprintf("%q has host bits set; allowed is the network %s, or the address %s", s, pre.Masked(), pre.Addr())
	}
	return ""
}

// isDomain tells whether s is a domain of LDH labels (RFC 1123, 2.1). What is
// not ASCII is written as a mail server knows it, in punycode.
func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return true
}

// problems is where the checks below report to.
type problems func(key, text string)

func (p problems) number(key string, v, low, high float64) {
	// Written so that NaN, which compares false with everything, is out of range.
	if !(v >= low && v <= high) {
		p(key, fmt.Sprintf("%v is out of range; allowed is %v to %v", v, low, high))
	}
}

func (p problems) whole(key string, v, low, high int) {
	if v < low || v > high {
		p(key, fmt.Sprintf("%d is out of range; allowed is %d to %d", v, low, high))
	}
}

func (p problems) span(key string, v, low, high time.Duration, allowed string) {
	if v < low || v > high {
		p(key, spell(v)+" is out of range; allowed is "+allowed)
	}
}

// spell is a time as it is written in a file: 2m, not 2m0s.
func spell(v time.Duration) string {
	s := v.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// bearFailure holds that a budget which is not off is good for one failure: an
// attempt in flight counts as if it had failed, so with less there would be no
// attempt at all.
func (p problems) bearFailure(key string, budget, failure float64) {
	if inRange := failure >= minPoints && failure <= 100 && budget >= minPoints; inRange && budget < failure {
		p(key, fmt.Sprintf("%v is less than points.failure, which is %v, so that not one attempt would be let in; "+
			"allowed is that or more, to %v", budget, failure, maxPoints))
	}
}

// seconds holds that a delay is of whole seconds: neither Postfix's sleep nor
// Dovecot's status knows anything finer.
func (p problems) seconds(key string, v time.Duration) {
	if v%time.Second != 0 {
		p(key, "has a fraction of a second; allowed are whole seconds")
	}
}

// A tier is a score from which something happens.
type tier struct {
	key   string
	score float64
	off   bool // zero is allowed, and switches it off
}

func (p problems) tiers(ts ...tier) {
	var below *tier
	for _, t := range ts {
		switch {
		case t.off && t.score == 0:
			continue
		case math.IsNaN(t.score) || t.score < minPoints || t.score > maxPoints:
			orOff := ""
			if t.off {
				orOff = ", or 0 for off"
			}
			p(t.key, fmt.Sprintf("%v is out of range; allowed is %v to %v%s", t.score, minPoints, maxPoints, orOff))
			continue
		case below != nil && t.score <= below.score:
			p(t.key, fmt.Sprintf("%v is not above %s, which is %v; allowed is more than that, to %v",
				t.score, below.key, below.score, maxPoints))
		}
		below = &t
	}
}

func (p problems) prefixes(name string, client, clientLow, clientHigh, network, networkLow int) {
	p.whole("client."+name, client, clientLow, clientHigh)
	switch {
	case network < networkLow:
		p.whole("network."+name, network, networkLow, client-1)
	case network >= client:
		p("network."+name, fmt.Sprintf("/%d is not shorter than client.%s, which is /%d; allowed is %d to %d",
			network, name, client, networkLow, client-1))
	}
}

func (p problems) atMost(key string, n int) {
	if n > maxList {
		p(key, fmt.Sprintf("has %d entries; allowed are at most %d", n, maxList))
	}
}

func (p problems) logins(key string, logins []string) {
	p.atMost(key, len(logins))
	for i, l := range logins {
		switch {
		case strings.TrimSpace(l) == "":
			p(fmt.Sprintf("%s[%d]", key, i), "is empty; allowed are logins such as alice@example.org")
		case len(l) > maxLogin:
			p(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("has %d octets; allowed are at most %d", len(l), maxLogin))
		case strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }):
			p(fmt.Sprintf("%s[%d]", key, i), "has control characters; allowed are logins such as alice@example.org")
		case strings.Contains(l, "*"):
			p(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q has a wildcard, and would be taken for a login of that very name; "+
				"allowed are whole logins such as alice@example.org", l))
		}
	}
}
