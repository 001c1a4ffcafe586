package redis

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Check calls problem for everything that is wrong, with the key within this
// part of the configuration and a text that says what is allowed. Files are
// looked at by Connect.
func (c *Config) Check(problem func(key, text string)) {
	p := problems(problem)
	c.checkAddresses(p)
	c.checkMode(p)
	c.checkSecrets(p)
	c.checkTLS(p)
	if !isName(c.Prefix) {
		p("prefix", fmt.Sprintf("%q is no prefix; allowed are 1 to 64 letters, digits, _ . and -", c.Prefix))
	}
	p.span("timeouts.dial", c.Timeouts.Dial, 10*time.Millisecond, 2*time.Second, "10ms to 2s")
	p.span("timeouts.io", c.Timeouts.IO, 10*time.Millisecond, 2*time.Second, "10ms to 2s")
	p.span("timeouts.pool", c.Timeouts.Pool, time.Millisecond, 10*time.Second, "1ms to 10s")
	p.span("timeouts.call", c.Timeouts.Call, 10*time.Millisecond, 900*time.Millisecond,
		"10ms to 900ms (a question is answered within a second in any case)")
	p.whole("pool_size", c.PoolSize, 1, 1000)
	p.whole("min_idle", c.MinIdle, 0, max(c.PoolSize, 0))
	p.whole("max_keys", c.MaxKeys, 10_000, 1_000_000_000)
	p.whole("max_entries", c.MaxEntries, 1_000, 10_000_000)
	p.whole("stream_length", c.StreamLength, 1_000, 10_000_000)
	p.span("resync", c.Resync, 10*time.Second, 24*time.Hour, "10s to 1d")
	p.span("heartbeat", c.Heartbeat, time.Second, time.Minute, "1s to 1m")
}

func (c *Config) checkAddresses(p problems) {
	if len(c.Addresses) > 100 {
		p("addresses", fmt.Sprintf("are %d; allowed are 100 at most", len(c.Addresses)))
	}
	if len(c.Addresses) > 1 && !c.Cluster && c.Master == "" {
		p("addresses", "are several, of which one would be used; allowed is one, or set cluster, "+
			"or set master and give the addresses of Sentinels")
	}
	for i, a := range c.Addresses {
		key := fmt.Sprintf("addresses[%d]", i)
		if strings.HasPrefix(a, "/") {
			if c.Cluster || c.Master != "" || c.TLS.Enabled {
				p(key, fmt.Sprintf("%q is a Unix socket; with cluster, master or tls allowed is host:port", a))
			}
			continue
		}
		host, port, err := net.SplitHostPort(a)
		if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
			p(key, fmt.Sprintf("%q is no address; allowed is host:port, such as redis.example.org:6379, or /path of a Unix socket", a))
		}
	}
}

// checkMode holds that it is clear what is being talked to.
func (c *Config) checkMode(p problems) {
	if c.Cluster && c.Master != "" {
		p("cluster", "and master exclude each other: Sentinels do not watch over a cluster; set one of them")
	}
	if c.Cluster && c.Database != 0 {
		p("database", fmt.Sprintf("%d: a cluster has only database 0", c.Database))
	} else {
		p.whole("database", c.Database, 0, 1023)
	}
	if c.Master == "" && c.SentinelUser != "" {
		p("sentinel_user", "is for Sentinels, and needs master as well")
	}
	if c.Master == "" && c.SentinelPassword != "" {
		p("sentinel_password", "is for Sentinels, and needs master as well")
	}
}

func (c *Config) checkSecrets(p problems) {
	switch {
	case c.Password != "" && c.PasswordFile != "":
		p("password_file", "and password exclude each other; set one of them")
	case c.PasswordFile != "" && !strings.HasPrefix(c.PasswordFile, "/"):
		p("password_file", fmt.Sprintf("%q is relative; allowed is a path that begins with /, or \"\"", c.PasswordFile))
	}
	switch {
	case c.HashKey != "" && (len(c.HashKey) < 16 || len(c.HashKey) > 256):
		p("hash_key", fmt.Sprintf("has %d octets; allowed are 16 to 256, such as openssl rand -hex 16 prints", len(c.HashKey)))
	case c.HashKey == "" && c.Enabled() && c.Password == "" && c.PasswordFile == "":
		// A key that anybody can compute would let anybody look for logins and
		// addresses that collide with another's.
		p("hash_key", "is needed where Redis has no password to derive it from; "+
			"set the same random text on all hosts, such as openssl rand -hex 16 prints")
	}
}

func (c *Config) checkTLS(p problems) {
	t := &c.TLS
	if !t.Enabled {
		for _, f := range []struct{ key, value string }{
			{"tls.ca_file", t.CAFile}, {"tls.cert_file", t.CertFile}, {"tls.key_file", t.KeyFile}, {"tls.server_name", t.ServerName},
		} {
			if f.value != "" {
				p(f.key, "has no effect without tls.enabled: true")
			}
		}
		return
	}
	if t.CertFile == "" && t.KeyFile != "" {
		p("tls.key_file", "needs tls.cert_file as well")
	}
	if t.CertFile != "" && t.KeyFile == "" {
		p("tls.cert_file", "needs tls.key_file as well")
	}
}

// isName holds a prefix to what needs no quoting anywhere, and above all has no
// braces, which decide in which slot of a cluster a key is.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// problems is where the checks report to.
type problems func(key, text string)

func (p problems) whole(key string, v, low, high int) {
	if v < low || v > high {
		p(key, fmt.Sprintf("%d is out of range; allowed is %d to %d", v, low, high))
	}
}

func (p problems) span(key string, v, low, high time.Duration, allowed string) {
	if v < low || v > high {
		p(key, fmt.Sprintf("%v is out of range; allowed is %s", v, allowed))
	}
}
