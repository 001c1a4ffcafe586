package dovecotpolicy

import (
	"time"

	"github.com/saslguard/saslguard/listen"
)

// Config is the `dovecot` part of the configuration.
type Config struct {
	listen.Config `mapstructure:",squash"`

	// APIKey is what auth_policy_server_api_header must carry as X-API-Key;
	// User and Password are Basic authentication, as in
	// auth_policy_server_url = https://user:password@host/. "": not accepted.
	// Where both are set, either is enough, so that one Dovecot after the other
	// can be moved between them. One of them is required on every address but
	// loopback and Unix sockets.
	APIKey   string `mapstructure:"api_key" secret:"true"`
	User     string `mapstructure:"user"`
	Password string `mapstructure:"password" secret:"true"`

	// TLSCert and TLSKey are PEM files; both or none. With them every TCP
	// address speaks TLS, 1.2 or later; Unix sockets never do.
	TLSCert string `mapstructure:"tls_cert"`
	TLSKey  string `mapstructure:"tls_key"`

	// Nonce is Dovecot's auth_policy_hash_nonce, if it may be known here: then
	// the hash of "no password sent" is recognised without the mechanism.
	Nonce string `mapstructure:"nonce" secret:"true"`
	// HashMech and HashTruncate are Dovecot's auth_policy_hash_mech (sha256,
	// sha384, sha512, sha1, md5, sha3-256, sha3-512) and
	// auth_policy_hash_truncate (bits, 0: all). They matter with Nonce only.
	HashMech     string `mapstructure:"hash_mech"`
	HashTruncate int    `mapstructure:"hash_truncate"`

	// RefuseMessage is what a refused client is told: one line of printable
	// ASCII, at most 200 bytes, without quotes, backslashes, brackets, braces.
	RefuseMessage string `mapstructure:"refuse_message"`

	MaxConnections int           `mapstructure:"max_connections"` // 1 to 100,000
	MaxBody        int           `mapstructure:"max_body"`        // bytes, 4,096 to 1 MiB
	IdleTimeout    time.Duration `mapstructure:"idle_timeout"`    // 15s to 1h: Dovecot keeps idle connections for 10s
	ReadTimeout    time.Duration `mapstructure:"read_timeout"`    // of one request, and of writing its answer; 100ms to 1m
	StaleAfter     time.Duration `mapstructure:"stale_after"`     // a question older than that by its Date reserves nothing; 1s to 1m
}
