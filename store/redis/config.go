package redis

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Config is the `redis` part of the configuration. Defaults are kept in
// saslguard.yaml; a zero Config is no Redis.
type Config struct {
	// Addresses are host:port or the path of a Unix socket: of the server, of
	// nodes of the cluster, or of Sentinels. None is no Redis.
	Addresses []string `mapstructure:"addresses"`
	// Master is the name by which Sentinels know the master; "" is no Sentinels.
	Master string `mapstructure:"master"`
	// Cluster says that the addresses are nodes of a Redis Cluster.
	Cluster bool `mapstructure:"cluster"`

	// User is the ACL user; "" is the default one.
	User string `mapstructure:"user"`
	// Password is the user's; PasswordFile is a file whose first line it is.
	Password     string `mapstructure:"password" secret:"true"`
	PasswordFile string `mapstructure:"password_file"`
	// SentinelUser and SentinelPassword are for the Sentinels themselves.
	SentinelUser     string `mapstructure:"sentinel_user"`
	SentinelPassword string `mapstructure:"sentinel_password" secret:"true"`

	// Database is the number of the database, 0 to 1023; 0 in a cluster.
	Database int `mapstructure:"database"`
	// Prefix begins the name of every key, 1 to 64 letters, digits, _ . and -. Two
	// letters save memory.
	Prefix string `mapstructure:"prefix"`
	// HashKey is what subjects and secrets are hashed under, the same on every
	// host; "" derives it from the password.
	HashKey string `mapstructure:"hash_key" secret:"true"`

	TLS      TLSConfig      `mapstructure:"tls"`
	Timeouts TimeoutsConfig `mapstructure:"timeouts"`

	PoolSize int `mapstructure:"pool_size"` // connections to a node, 1 to 1000
	MinIdle  int `mapstructure:"min_idle"`  // of them kept open, 0 to PoolSize

	MaxKeys      int `mapstructure:"max_keys"`      // subjects with a score, 10,000 to 1,000,000,000
	MaxEntries   int `mapstructure:"max_entries"`   // automatic bans; operators have a tenth more; 1,000 to 10,000,000
	StreamLength int `mapstructure:"stream_length"` // changes of the ledger that are kept, 1,000 to 10,000,000

	// Resync is how often a watcher reads the ledger as a whole, 10s to 1d.
	Resync time.Duration `mapstructure:"resync"`
	// Heartbeat is how often a host says that it is there, 1s to 1m.
	Heartbeat time.Duration `mapstructure:"heartbeat"`
}

// TLSConfig is how connections are encrypted.
type TLSConfig struct {
	Enabled    bool   `mapstructure:"enabled"`
	CAFile     string `mapstructure:"ca_file"`     // PEM; "" is the system's authorities
	CertFile   string `mapstructure:"cert_file"`   // PEM, of this client; "" is none
	KeyFile    string `mapstructure:"key_file"`    // PEM, of CertFile
	ServerName string `mapstructure:"server_name"` // in the server's certificate; "" is its address
}

// TimeoutsConfig is how long things may take before Redis counts as failed.
type TimeoutsConfig struct {
	Dial time.Duration `mapstructure:"dial"` // to connect, 10ms to 2s
	IO   time.Duration `mapstructure:"io"`   // to read or write, 10ms to 2s
	Pool time.Duration `mapstructure:"pool"` // to wait for a free connection, 1ms to 10s
	Call time.Duration `mapstructure:"call"` // for a whole operation that somebody waits for, 10ms to 900ms
}

// Enabled tells whether there is a Redis to use.
func (c *Config) Enabled() bool { return len(c.Addresses) > 0 }

// maxPasswordFile bounds what is read of a password file.
const maxPasswordFile = 4096

// password is the user's password, from the configuration or the file that it
// names. Of a file it is the first line: editors add a newline.
func (c *Config) password() (string, error) {
	if c.PasswordFile == "" {
		return c.Password, nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the password of Redis: %w", err)
	}
	if len(b) > maxPasswordFile {
		return "", fmt.Errorf("reading the password of Redis: %s has more than %d octets", c.PasswordFile, maxPasswordFile)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("reading the password of Redis: the first line of %s is empty", c.PasswordFile)
	}
	return line, nil
}
