// Package listen opens the sockets on which the faces of saslguard are asked:
// TCP, Unix sockets with a mode and an owner, and sockets that systemd passes.
// A Unix socket left behind by a dead process is replaced; one on which
// somebody answers is an error.
package listen

// Config is where a part of saslguard listens. It is embedded in the
// configuration of that part.
type Config struct {
	// Listen are addresses: "host:port", or "unix:/path". None: not at all.
	// Sockets that systemd passes for the part are used as well.
	Listen []string `mapstructure:"listen"`
	// SocketMode and SocketOwner are set on Unix sockets: octal digits such as
	// "0660", and "user", "user:group", ":group", or "" for as it is.
	SocketMode  string `mapstructure:"socket_mode"`
	SocketOwner string `mapstructure:"socket_owner"`
}
