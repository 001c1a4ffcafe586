// Package configs is the configuration of saslguard as a whole: it composes
// the Config of every part, loads it, and names the place of everything that
// is wrong in it. It also carries the files that an administrator copies: the
// commented saslguard.yaml, which is the source of the defaults, and snippets
// for Postfix, Dovecot and systemd.
//
// The way of a value: [Load] reads the layers (defaults, files, environment,
// flags), each of which is held against a schema that reflection finds in
// [Config]; viper merges what was good; the parts check what came out. Nothing
// is guessed: a key that is not known, a time without a unit or a value out of
// range stops the program before it serves anybody, and all of them are told
// at once.
package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/dovecotpolicy"
	"github.com/saslguard/saslguard/enrich"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog/follow"
	"github.com/saslguard/saslguard/notify"
	"github.com/saslguard/saslguard/policy"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/store/redis"
)

// Config is the whole configuration. Every key is described in saslguard.yaml.
type Config struct {
	Mode           string        `mapstructure:"mode"` // Observe or Enforce
	StateDirectory string        `mapstructure:"state_directory"`
	Host           string        `mapstructure:"host"`
	StopTimeout    time.Duration `mapstructure:"stop_timeout"` // 1s to 5m
	Logins         string        `mapstructure:"logins"`       // Clear or Hashed
	Log            LogConfig     `mapstructure:"log"`

	Rules   guard.Config         `mapstructure:"rules"`
	Postfix policy.Config        `mapstructure:"postfix"`
	Dovecot dovecotpolicy.Config `mapstructure:"dovecot"`
	Maillog follow.Config        `mapstructure:"maillog"`
	Store   memory.Config        `mapstructure:"store"`
	Redis   redis.Config         `mapstructure:"redis"`
	Admin   admin.Config         `mapstructure:"admin"`
	Notify  notify.Config        `mapstructure:"notify"`
	Enrich  enrich.Config        `mapstructure:"enrich"`
	Events  eventlog.Config      `mapstructure:"events"`

	Firewall firewall.Config `mapstructure:"firewall"`

	places   places   // where the values that are not defaults came from
	warnings Problems // see Warnings
	sources  sources  // see Sources
}

// LogConfig is the `log` part of the configuration.
type LogConfig struct {
	Level  string `mapstructure:"level"`  // debug, info, warn or error
	Format string `mapstructure:"format"` // auto, console or json
}

// The modes.
const (
	Observe = "observe" // decide, record and count, refuse nothing
	Enforce = "enforce"
)

// How logins are written.
const (
	Clear  = "clear"  // as they are
	Hashed = "hashed" // under a key, so that nobody reads them
)

// HashLogins tells whether logins are hashed where they are written.
func (c *Config) HashLogins() bool { return c.Logins == Hashed }

// Enforcing tells whether verdicts are enforced.
func (c *Config) Enforcing() bool { return c.Mode == Enforce }

// Warnings are what is allowed, but hardly meant. They are for the log.
func (c *Config) Warnings() Problems { return c.warnings }

// A part is checked by its own package.
type part interface {
	Check(problem func(key, text string))
}

// A keyedPart is a part and its key in the configuration.
type keyedPart struct {
	key string
	part
}

func (c *Config) parts() []keyedPart {
	return []keyedPart{
		{"rules", &c.Rules},
		{"postfix", &c.Postfix},
		{"dovecot", &c.Dovecot},
		{"maillog", &c.Maillog},
		{"store", &c.Store},
		{"redis", &c.Redis},
		{"firewall", &c.Firewall},
		{"admin", &c.Admin},
		{"notify", &c.Notify},
		{"enrich", &c.Enrich},
		{"events", &c.Events},
	}
}

// Check reports everything that is wrong with the values, by their full keys.
// Load has done it already; Check is for a Config that was changed since.
func (c *Config) Check(problem func(key, text string)) {
	oneOf(problem, "mode", c.Mode, Observe, Enforce)
	oneOf(problem, "logins", c.Logins, Clear, Hashed)
	oneOf(problem, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(problem, "log.format", c.Log.Format, "auto", "console", "json")
	if c.StopTimeout < time.Second || c.StopTimeout > 5*time.Minute {
		problem("stop_timeout", FormatDuration(c.StopTimeout)+" is out of range; allowed is 1s to 5m")
	}
	if c.StateDirectory != "" && !strings.HasPrefix(c.StateDirectory, "/") {
		problem("state_directory", fmt.Sprintf("%s is relative; allowed is a path that begins with /, or \"\"",
			quote(c.StateDirectory)))
	}
	if strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r > '~' }) || len(c.Host) > 253 {
		problem("host", quote(c.Host)+" is no host name; allowed is a name such as mx1.example.org, or \"\"")
	}
	for _, p := range c.parts() {
		p.Check(func(key, text string) { problem(p.key+"."+key, text) })
	}
	c.checkListeners(problem)
	if c.Redis.Enabled() && c.Store.Bans < c.Redis.MaxEntries {
		problem("store.bans", fmt.Sprintf("%d is less than redis.max_entries, so that this host could not hold the bans of all; allowed is %d or more",
			c.Store.Bans, c.Redis.MaxEntries))
	}
}

func oneOf(problem func(key, text string), key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		problem(key, fmt.Sprintf("%s is not known; allowed is %s", quote(value), either(allowed)))
	}
}

// either is the words as people say a choice: a, b or c.
func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
