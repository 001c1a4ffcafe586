package policy

import "time"

// Config is the `postfix` part of the configuration.
type Config struct {
	// Listen is where Postfix asks: "host:port", or "unix:/path". None: not at
	// all. Sockets passed by systemd under the name "postfix" are used as well.
	Listen []string `mapstructure:"listen"`
	// SocketMode and SocketOwner are set on Unix sockets: octal digits such as
	// "0660", and "user", "user:group" or "" for as it is.
	SocketMode  string `mapstructure:"socket_mode"`
	SocketOwner string `mapstructure:"socket_owner"`

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
