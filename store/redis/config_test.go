package redis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	for _, x := range []struct {
		name  string
		spoil func(c *Config)
		want  string // key, ": " and a part of the text; "" for nothing
	}{
		{"the defaults", func(c *Config) {}, ""},
		{"no Redis", func(c *Config) { c.Addresses, c.HashKey = nil, "" }, ""},
		{"a Unix socket", func(c *Config) { c.Addresses = []string{"/run/redis/redis.sock"} }, ""},
		{"IPv6", func(c *Config) { c.Addresses = []string{"[2001:db8::1]:6379"} }, ""},
		{"a cluster", func(c *Config) { c.Addresses, c.Cluster = []string{"a:1", "b:1"}, true }, ""},
		{"Sentinels", func(c *Config) {
			c.Addresses, c.Master, c.SentinelUser, c.SentinelPassword = []string{"a:1", "b:1"}, "mymaster", "u", "p"
		}, ""},
		{"a key from the password", func(c *Config) { c.HashKey, c.Password = "", "secret" }, ""},
		{"TLS", func(c *Config) { c.TLS = TLSConfig{Enabled: true, CertFile: "/c", KeyFile: "/k"} }, ""},

		{"no port", func(c *Config) { c.Addresses = []string{"redis.example.org"} }, "addresses[0]: host:port"},
		{"a bad port", func(c *Config) { c.Addresses = []string{"a:99999"} }, "addresses[0]: host:port"},
		{"no host", func(c *Config) { c.Addresses = []string{":6379"} }, "addresses[0]: host:port"},
		{"several", func(c *Config) { c.Addresses = []string{"a:1", "b:1"} }, "addresses: set cluster"},
		{"a cluster on a socket", func(c *Config) { c.Addresses, c.Cluster = []string{"/s"}, true }, "addresses[0]: host:port"},
		{"too many", func(c *Config) { c.Cluster, c.Addresses = true, strings.Split(strings.Repeat("a:1 ", 101)+"a:1", " ") }, "addresses: 100"},
		{"both modes", func(c *Config) { c.Cluster, c.Master = true, "m" }, "cluster: exclude"},
		{"a cluster's database", func(c *Config) { c.Cluster, c.Database = true, 1 }, "database: only database 0"},
		{"no such database", func(c *Config) { c.Database = -1 }, "database: out of range"},
		{"a Sentinel's user", func(c *Config) { c.SentinelUser = "u" }, "sentinel_user: master"},
		{"a Sentinel's password", func(c *Config) { c.SentinelPassword = "p" }, "sentinel_password: master"},
		{"two passwords", func(c *Config) { c.Password, c.PasswordFile = "p", "/f" }, "password_file: exclude"},
		{"a relative file", func(c *Config) { c.PasswordFile = "f" }, "password_file: relative"},
		{"no key", func(c *Config) { c.HashKey = "" }, "hash_key: needed"},
		{"a short key", func(c *Config) { c.HashKey = "short" }, "hash_key: 16"},
		{"braces", func(c *Config) { c.Prefix = "a{b}" }, "prefix: letters"},
		{"no prefix", func(c *Config) { c.Prefix = "" }, "prefix: letters"},
		{"half a certificate", func(c *Config) { c.TLS = TLSConfig{Enabled: true, CertFile: "/c"} }, "tls.cert_file: tls.key_file"},
		{"the other half", func(c *Config) { c.TLS = TLSConfig{Enabled: true, KeyFile: "/k"} }, "tls.key_file: tls.cert_file"},
		{"TLS on a socket", func(c *Config) { c.Addresses, c.TLS.Enabled = []string{"/s"}, true }, "addresses[0]: host:port"},
		{"TLS not enabled", func(c *Config) { c.TLS.CAFile = "/ca" }, "tls.ca_file: tls.enabled"},
		{"dial", func(c *Config) { c.Timeouts.Dial = 0 }, "timeouts.dial: 10ms"},
		{"io", func(c *Config) { c.Timeouts.IO = time.Minute }, "timeouts.io: 10ms"},
		{"pool", func(c *Config) { c.Timeouts.Pool = 0 }, "timeouts.pool: 1ms"},
		{"call", func(c *Config) { c.Timeouts.Call = 3 * time.Second }, "timeouts.call: 10ms to 900ms"},
		{"pool size", func(c *Config) { c.PoolSize, c.MinIdle = 0, 0 }, "pool_size: 1 to 1000"},
		{"idle", func(c *Config) { c.MinIdle = c.PoolSize + 1 }, "min_idle: 0 to 32"},
		{"keys", func(c *Config) { c.MaxKeys = 1 }, "max_keys: 10000"},
		{"entries", func(c *Config) { c.MaxEntries = 1 }, "max_entries: 1000"},
		{"stream", func(c *Config) { c.StreamLength = 1 }, "stream_length: 1000"},
		{"resync", func(c *Config) { c.Resync = time.Second }, "resync: 10s"},
		{"heartbeat", func(c *Config) { c.Heartbeat = time.Hour }, "heartbeat: 1s"},
	} {
		c := testConfig("127.0.0.1:6379")
		c.Timeouts.Call = 150 * time.Millisecond
		x.spoil(&c)
		var got []string
		c.Check(func(key, text string) { got = append(got, key+": "+text) })
		if x.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %q", x.name, got)
			}
			continue
		}
		key, part, _ := strings.Cut(x.want, ": ")
		if len(got) != 1 || !strings.HasPrefix(got[0], key+": ") || !strings.Contains(got[0], part) {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\nmore\n": "secret", "": "", "\nsecret": "", strings.Repeat("x", 5000): "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Config{PasswordFile: file}
		if got, err := c.password(); got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: got %q, %v", text, got, err)
		}
	}
	c := Config{PasswordFile: file + ".not"}
	if _, err := c.password(); err == nil {
		t.Error("a file that is not there is no error")
	}
}
