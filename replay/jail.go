package replay

import (
	"fmt"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// A Jail is what fail2ban's administrators set.
type Jail struct {
	MaxRetry int           // failures that lead to a ban, 1 to 1000
	FindTime time.Duration // within which they count
	BanTime  time.Duration // how long a ban lasts, 1m to 366d
}

// DefaultJail returns what fail2ban ships with.
func DefaultJail() Jail {
	return Jail{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute}
}

// Of a jail's values.
const (
	maxRetries  = 1000
	minHalfLife = time.Minute
	maxHalfLife = 7 * 24 * time.Hour
	minBan      = time.Minute

	// LongestBan stands for a ban without an end.
	LongestBan = 366 * 24 * time.Hour
)

// halfLife is the half-life of a score that a client who fails at a steady rate of
// maxretry within findtime takes to maxretry: ln 2 of findtime.
func (j Jail) halfLife() time.Duration {
	return (j.FindTime * 7 / 10).Round(time.Second)
}

// Check returns what is wrong with a jail's values, naming the flag and what is
// allowed.
func (j Jail) Check() error {
	low, high := (minHalfLife*10/7 + time.Second).Truncate(time.Second), maxHalfLife*10/7
	switch {
	case j.MaxRetry < 1 || j.MaxRetry > maxRetries:
		return fmt.Errorf("--maxretry %d is out of range; allowed is 1 to %d", j.MaxRetry, maxRetries)
	case j.halfLife() < minHalfLife || j.halfLife() > maxHalfLife:
		return fmt.Errorf("--findtime %s is out of range; allowed is %s to %s", short(j.FindTime), short(low), short(high))
	case j.BanTime < minBan || j.BanTime > LongestBan:
		return fmt.Errorf("--bantime %s is out of range; allowed is 1m to 366d", short(j.BanTime))
	}
	return nil
}

// Rules returns rules that ban as the jail does, as nearly as a score that decays
// can: each failure is a point, a client is banned when it has maxretry of them, and
// each ban is as long as the first. Nothing else counts. Where c says something
// that fail2ban has no word for, such as how much of an IPv6 address is a client, it
// stays.
//
// The ban is half a point below maxretry, so that maxretry failures lead to it
// although the first of them have decayed a little when the last one comes, and
// maxretry−1 never do.
func (j Jail) Rules(c guard.Config) guard.Config {
	c.HalfLife = j.halfLife()
	c.Points.Failure, c.Points.UnknownAccount, c.Points.FurtherAccount = 1, 0, 0
	// Refusing begins where one more failure would be the ban: below that there is
	// nothing that fail2ban would do.
	c.Client.Ban = max(float64(j.MaxRetry)-0.5, 1.05)
	c.Client.Refuse = c.Client.Ban - 0.05
	c.Client.Tarpit = c.Client.Refuse - 0.05
	c.Network.Tarpit, c.Network.Refuse, c.Network.Ban = 0, 0, 0
	c.Account.Tarpit, c.Account.Refuse = 0, 0
	c.TrapAccounts = nil
	c.Ban.First, c.Ban.Max = j.BanTime, j.BanTime
	c.Ban.Forget = max(c.Ban.Forget, j.BanTime)
	// fail2ban spares nobody whom ignoreip does not name.
	c.Ban.Private = true
	c.Familiar.Office = 1000
	c.Brake.Networks = 0
	return c
}

// Name is what the rules of a jail are called in a report.
func (j Jail) Name() string {
	return fmt.Sprintf("maxretry %d, findtime %s, bantime %s", j.MaxRetry, short(j.FindTime), short(j.BanTime))
}
