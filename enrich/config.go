package enrich

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is the `enrich` part of the configuration.
type Config struct {
	// Databases are files in MaxMind's format, absolute paths. What the first knows
	// of an address is not asked of the next.
	Databases []string    `mapstructure:"databases"`
	Whois     WhoisConfig `mapstructure:"whois"`
}

// WhoisConfig is about asking the registries.
type WhoisConfig struct {
	Enabled   bool          `mapstructure:"enabled"`    // it asks the internet about those who attack
	Bootstrap string        `mapstructure:"bootstrap"`  // where the list of registries is, RFC 9224
	Timeout   time.Duration `mapstructure:"timeout"`    // of one question, 100ms to 30s
	PerMinute int           `mapstructure:"per_minute"` // questions, 1 to 600
	Cache     int           `mapstructure:"cache"`      // answers, 100 to 1000000
	CacheFor  time.Duration `mapstructure:"cache_for"`  // 10m to 90d
}

// maxDatabases bounds the files: each is in memory as a whole.
const maxDatabases = 8

// Check reports everything that is wrong with the configuration, by keys relative to
// it. Files are read by New and Reload.
func (c *Config) Check(problem func(key, text string)) {
	if len(c.Databases) > maxDatabases {
		problem("databases", fmt.Sprintf("are %d; allowed are %d at most", len(c.Databases), maxDatabases))
	}
	for i, path := range c.Databases {
		if !strings.HasPrefix(path, "/") {
			problem(fmt.Sprintf("databases[%d]", i), fmt.Sprintf("%q is relative; allowed is a path that begins with /", clean(path)))
		}
	}
	w := &c.Whois
	if u, err := url.Parse(w.Bootstrap); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && privateHost(u.Hostname())) {
		problem("whois.bootstrap", "is no such URL; allowed is https://…, and http://… with a private address")
	}
	span(problem, "whois.timeout", w.Timeout, 100*time.Millisecond, 30*time.Second, "100ms to 30s")
	span(problem, "whois.cache_for", w.CacheFor, 10*time.Minute, 90*24*time.Hour, "10m to 90d")
	whole(problem, "whois.per_minute", w.PerMinute, 1, 600)
	whole(problem, "whois.cache", w.Cache, 100, 1_000_000)
}

func span(problem func(key, text string), key string, v, low, high time.Duration, allowed string) {
	if v < low || v > high {
		problem(key, fmt.Sprintf("%v is out of range; allowed is %s", v, allowed))
	}
}

func whole(problem func(key, text string), key string, v, low, high int) {
	if v < low || v > high {
		problem(key, fmt.Sprintf("%d is out of range; allowed is %d to %d", v, low, high))
	}
}
