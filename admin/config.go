package admin

import (
	"slices"

	"github.com/saslguard/saslguard/listen"
)

// Config is the `admin` part of the configuration.
type Config struct {
	// Listen is where /metrics and /healthz are served, "host:port"; "" is
	// nowhere.
	Listen string `mapstructure:"listen"`

	Control ControlConfig `mapstructure:"control"`
}

// ControlConfig is where the control API is served, and to whom.
type ControlConfig struct {
	// Socket is the path of a Unix socket; "" is control.sock in the runtime
	// directory (listen.RuntimeDirectory), and NoSocket none.
	Socket string `mapstructure:"socket"`
	// SocketMode and SocketOwner are the socket's, as in listen.Config. Whoever
	// can open it may do everything.
	SocketMode  string `mapstructure:"socket_mode"`
	SocketOwner string `mapstructure:"socket_owner"`

	// Listen are TCP addresses, "host:port". On those a token is asked for.
	Listen []string `mapstructure:"listen"`
	// TLSCert and TLSKey are PEM files; both or none. They are required on every
	// address but loopback.
	TLSCert string        `mapstructure:"tls_cert"`
	TLSKey  string        `mapstructure:"tls_key"`
	Tokens  []TokenConfig `mapstructure:"tokens"` // at most 100
}

// TokenConfig is who may ask over TCP. Either Token or TokenFile is set.
type TokenConfig struct {
	Name      string `mapstructure:"name"` // for the audit log
	Role      string `mapstructure:"role"` // RoleRead or RoleOperate
	Token     string `mapstructure:"token" secret:"true"`
	TokenFile string `mapstructure:"token_file"` // its first line is the token
}

// NoSocket, as ControlConfig.Socket, is no control socket.
const NoSocket = "none"

// SocketConfig is the configuration of the Unix socket at a path.
func (c *ControlConfig) SocketConfig(path string) listen.Config {
	return listen.Config{Listen: []string{"unix:" + path}, SocketMode: c.SocketMode, SocketOwner: c.SocketOwner}
}

// NeedRestart tells whether a change is in what is used at the start only.
func NeedRestart(before, after ControlConfig) bool {
	return before.Socket != after.Socket || before.SocketMode != after.SocketMode || before.SocketOwner != after.SocketOwner ||
		!slices.Equal(before.Listen, after.Listen) || (before.TLSCert == "") != (after.TLSCert == "")
}

// TCPConfig is the configuration of the TCP addresses.
func (c *ControlConfig) TCPConfig() listen.Config { return listen.Config{Listen: c.Listen} }
