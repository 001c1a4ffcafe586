package firewall

import (
	"slices"
	"time"
)

// Config is the `firewall` part of the configuration.
type Config struct {
	// Enabled has serve keep the firewall itself; `saslguard firewall` does it
	// whatever this says.
	Enabled bool `mapstructure:"enabled"`
	// Backend is NFTables, Exec or DryRun.
	Backend string `mapstructure:"backend"`

	// Ports are the local TCP ports that bans are for, as numbers.
	Ports []string `mapstructure:"ports"`
	// Private lets private and link-local addresses be banned too.
	Private bool `mapstructure:"private"`
	// EndSessions ends what a client that is banned has open on the ports.
	EndSessions bool `mapstructure:"end_sessions"`
	// MaxBans bounds the bans that are enforced, 1,000 to 10,000,000.
	MaxBans int `mapstructure:"max_bans"`
	// AtStop is AtStopRemove or AtStopKeep.
	AtStop string `mapstructure:"at_stop"`
	// SocketOwner is that of the agent's socket, as in listen.Config.
	SocketOwner string `mapstructure:"socket_owner"`

	// Table, Hooks, Verdict, Log and Limits are for NFTables.
	Table   string        `mapstructure:"table"`
	Hooks   []string      `mapstructure:"hooks"`   // HookInput, HookForward, HookPrerouting
	Verdict string        `mapstructure:"verdict"` // Drop or Reject
	Log     LogConfig     `mapstructure:"log"`
	Limits  []LimitConfig `mapstructure:"limits"`

	Exec ExecConfig `mapstructure:"exec"`
}

// LogConfig is how packets of the banned are logged by the kernel.
type LogConfig struct {
	Enabled bool   `mapstructure:"enabled"`
	Prefix  string `mapstructure:"prefix"` // to 64 printable ASCII characters
	Rate    string `mapstructure:"rate"`   // of one source, as ParseRate reads it
	Group   int    `mapstructure:"group"`  // of nflog, to 65535; 0: the kernel's log
}

// LimitConfig is a limit of new connections by source.
type LimitConfig struct {
	Ports  []string      `mapstructure:"ports"`
	Rate   string        `mapstructure:"rate"`   // as ParseRate reads it
	Burst  int           `mapstructure:"burst"`  // connections at once; 0: as many as the rate's number
	Expiry time.Duration `mapstructure:"expiry"` // of a source that stays away; 0: until it may have a burst again
	Size   int           `mapstructure:"size"`   // sources of a family; 0: 65,536
}

// ExecConfig is the command of the exec backend.
type ExecConfig struct {
	Command []string      `mapstructure:"command"` // the program's absolute path and its arguments
	Timeout time.Duration `mapstructure:"timeout"` // for it to answer, 1s to 50s
}

// NeedRestart tells whether a change is in what is used at the start only.
func NeedRestart(before, after Config) bool {
	return before.Enabled != after.Enabled || before.Backend != after.Backend || before.SocketOwner != after.SocketOwner ||
		before.Table != after.Table || before.Exec.Timeout != after.Exec.Timeout || !slices.Equal(before.Exec.Command, after.Exec.Command)
}

// The backends.
const (
	NFTables = "nftables"
	Exec     = "exec"
	DryRun   = "dryrun"
)

// What becomes of the bans in the kernel when saslguard stops.
const (
	AtStopRemove = "remove"
	AtStopKeep   = "keep"
)

// The hooks.
const (
	HookInput      = "input"
	HookForward    = "forward"
	HookPrerouting = "prerouting"
)

// The verdicts.
const (
	Drop   = "drop"
	Reject = "reject"
)
