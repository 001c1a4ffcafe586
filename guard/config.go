package guard

import "time"

// Config is the `rules` part of the configuration.
type Config struct {
	// HalfLife is the time in which every score halves, 1m to 7d.
	HalfLife time.Duration `mapstructure:"half_life"`

	Points  PointsConfig  `mapstructure:"points"`
	Client  ClientConfig  `mapstructure:"client"`
	Network NetworkConfig `mapstructure:"network"`
	Account AccountConfig `mapstructure:"account"`

	Familiar  FamiliarConfig  `mapstructure:"familiar"`
	Passwords PasswordsConfig `mapstructure:"passwords"`
	Tarpit    TarpitConfig    `mapstructure:"tarpit"`
	Waiting   WaitingConfig   `mapstructure:"waiting"`
	Ban       BanConfig       `mapstructure:"ban"`
	Brake     BrakeConfig     `mapstructure:"brake"`

	// DefaultDomain is added to logins without an @; "" adds none.
	DefaultDomain string `mapstructure:"default_domain"`
	// TrapAccounts are logins that nobody has: one try is a ban.
	TrapAccounts []string `mapstructure:"trap_accounts"`
	// AllowClients are addresses and prefixes exempt from the client and network
	// tiers; AllowAccounts are logins exempt from the account tier.
	AllowClients  []string `mapstructure:"allow_clients"`
	AllowAccounts []string `mapstructure:"allow_accounts"`
}

// PointsConfig is what a failed login adds, in points.
type PointsConfig struct {
	Failure        float64 `mapstructure:"failure"`         // 0.1 to 100
	UnknownAccount float64 `mapstructure:"unknown_account"` // added; 0 to 100
	FurtherAccount float64 `mapstructure:"further_account"` // added; 0 to 100
	FreeRepeats    int     `mapstructure:"free_repeats"`    // in a half-life, where the mechanism is unknown; 0 to 60
}

// ClientConfig is the client's tiers, in points, and what a client is.
type ClientConfig struct {
	Tarpit float64 `mapstructure:"tarpit"`
	Refuse float64 `mapstructure:"refuse"`
	Ban    float64 `mapstructure:"ban"`
	IPv4   int     `mapstructure:"ipv4_prefix"` // 24 to 32
	IPv6   int     `mapstructure:"ipv6_prefix"` // 48 to 128
}

// NetworkConfig is the network's tiers, in points (0: off), and what a network is.
type NetworkConfig struct {
	Tarpit float64 `mapstructure:"tarpit"`
	Refuse float64 `mapstructure:"refuse"`
	Ban    float64 `mapstructure:"ban"`
	IPv4   int     `mapstructure:"ipv4_prefix"` // 8 to the client's
	IPv6   int     `mapstructure:"ipv6_prefix"` // 16 to the client's
}

// AccountConfig is the account's tiers, in points (0: off).
type AccountConfig struct {
	Tarpit float64 `mapstructure:"tarpit"`
	Refuse float64 `mapstructure:"refuse"`
}

// FamiliarConfig is about networks from which an account has logged in.
type FamiliarConfig struct {
	For    time.Duration `mapstructure:"for"`    // after the last login, 1d to 366d
	Budget float64       `mapstructure:"budget"` // points of a familiar pair before it is refused
	Office int           `mapstructure:"office"` // familiar accounts from which a network's clients are not banned
}

// PasswordsConfig is about passwords that were right before.
type PasswordsConfig struct {
	Remember int           `mapstructure:"remember"` // for each account, 0 to 3; 0 is off
	For      time.Duration `mapstructure:"for"`      // 1d to 366d
}

// TarpitConfig is how long offenders are delayed, and how many at once.
type TarpitConfig struct {
	Max         time.Duration `mapstructure:"max"`          // 1s to 30s
	MaxSMTP     time.Duration `mapstructure:"max_smtp"`     // for smtp and submission, 1s to 7s
	HeldPostfix int           `mapstructure:"held_postfix"` // at once for Postfix, 0 to 1000
	HeldDovecot int           `mapstructure:"held_dovecot"` // at once for Dovecot, 0 to 1000
	HeldClient  int           `mapstructure:"held_client"`  // at once for a client, 0 to 100
}

// WaitingConfig is how long, and how many, attempts wait for a place while too
// many guesses of a client are in flight.
type WaitingConfig struct {
	Max        time.Duration `mapstructure:"max"`         // 0 to 1s
	HeldClient int           `mapstructure:"held_client"` // 0 to 20
	HeldHost   int           `mapstructure:"held_host"`   // 0 to 50: Dovecot has 100 connections in all
}

// BanConfig is how long automatic bans last and whom they spare.
type BanConfig struct {
	First   time.Duration `mapstructure:"first"`   // 1m to Max
	Max     time.Duration `mapstructure:"max"`     // to 366d
	Forget  time.Duration `mapstructure:"forget"`  // after the last ban, the count starts again
	Private bool          `mapstructure:"private"` // ban private, link-local and own addresses too
}

// BrakeConfig is when automatic bans pause because it is the password database
// that fails.
type BrakeConfig struct {
	Networks int           `mapstructure:"networks"` // with failing familiar pairs within a minute; 0 is off
	Pause    time.Duration `mapstructure:"pause"`    // 1m to 1d
}
