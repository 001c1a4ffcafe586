package policy

import (
	"time"

	"github.com/saslguard/saslguard/listen"
)

// Config is the `postfix` part of the configuration.
type Config struct {
	listen.Config `mapstructure:",squash"`

	// RefuseCode and RefuseText answer a refused client: 421 or 521, an enhanced
	// status code that fits it and text.
	RefuseCode int    `mapstructure:"refuse_code"`
	RefuseText string `mapstructure:"refuse_text"`

	// Contexts say what a policy_context is; others are judged by the port.
	Contexts []Context `mapstructure:"contexts"`

	MaxConnections int           `mapstructure:"max_connections"` // 1 to 100,000
	MaxRequest     int           `mapstructure:"max_request"`     // bytes, 4,096 to 1 MiB
	IdleTimeout    time.Duration `mapstructure:"idle_timeout"`    // between requests
	ReadTimeout    time.Duration `mapstructure:"read_timeout"`    // of one request, and of writing its answer
}

// Context says what a policy_context stands for.
type Context struct {
	Name string `mapstructure:"name"`
	// Verdicts is "all", or "operator" where automatic verdicts are ignored
	// because mail would bounce.
	Verdicts string `mapstructure:"verdicts"`
}
