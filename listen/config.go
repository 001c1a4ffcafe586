// Package listen opens the sockets on which the faces of saslguard are asked:
// TCP, Unix sockets with a mode and an owner, and sockets that systemd passes.
// A Unix socket left behind by a dead process is replaced; one on which
// somebody answers is an error. Either everything opens or nothing does, so
// that a half-reachable saslguard is noticed when it starts. Direct and Follow
// read and write what is asked there, with fewer calls to the system than usual.
package listen

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Config is where a part of saslguard listens. It is embedded in the
// configuration of that part.
type Config struct {
	// Listen are addresses: "host:port", or "unix:/path". None: not at all.
	// Sockets that systemd passes for the part are used as well.
	Listen []string `mapstructure:"listen"`
	// SocketMode and SocketOwner are set on Unix sockets: octal digits such as
	// "0660" ("": 0600), and "user", "user:group", ":group", or "" for as it is.
	SocketMode  string `mapstructure:"socket_mode"`
	SocketOwner string `mapstructure:"socket_owner"`
}

// maxPath is the longest path of a Unix socket in bytes: sun_path less its
// final NUL, unix(7).
const maxPath = 107

// unixPrefix begins the addresses of Unix sockets.
const unixPrefix = "unix:"

// Check calls problem for everything that is wrong, with the key below the
// part's own, such as "listen[0]" or "socket_mode", and a text for people.
// Users and groups are looked up where a Unix socket wants them.
func (c Config) Check(problem func(key, text string)) {
	seen := make(map[string]bool, len(c.Listen))
	for i, address := range c.Listen {
		key := fmt.Sprintf("listen[%d]", i)
		if err := checkAddress(address); err != nil {
			problem(key, err.Error())
		} else if seen[address] {
			problem(key, fmt.Sprintf("%q is listed twice", address))
		}
		seen[address] = true
	}
	if _, err := parseMode(c.SocketMode); err != nil {
		problem("socket_mode", err.Error())
	}
	if err := c.checkOwner(); err != nil {
		problem("socket_owner", err.Error())
	}
}

func (c Config) checkOwner() error {
	_, _, err := splitOwner(c.SocketOwner)
	if err == nil && slices.ContainsFunc(c.Listen, func(address string) bool { return strings.HasPrefix(address, unixPrefix) }) {
		_, _, err = lookupOwner(c.SocketOwner)
	}
	return err
}

func checkAddress(address string) error {
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		return checkPath(path)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is neither host:port (an IPv6 address in brackets) nor unix:/path", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: the port is a number from 1 to 65535", address)
	}
	if !validHost(host) {
		return fmt.Errorf("%q: the host is an IP address, a host name, or empty for all addresses", address)
	}
	return nil
}

func checkPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q: the path of a Unix socket is absolute", unixPrefix+path)
	case len(path) > maxPath:
		return fmt.Errorf("%q: the path of a Unix socket has at most %d bytes, this has %d", unixPrefix+path, maxPath, len(path))
	case path != filepath.Clean(path) || path == "/" || strings.ContainsFunc(path, isControl):
		return fmt.Errorf("%q is not a plain path of a socket", unixPrefix+path)
	}
	return nil
}

// Exposed returns the addresses that others than this host can reach. A host
// name counts as one of them, unless it is localhost.
func (c Config) Exposed() []string {
	var exposed []string
	for _, address := range c.Listen {
		if strings.HasPrefix(address, unixPrefix) {
			continue
		}
		host, _, _ := net.SplitHostPort(address)
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
			exposed = append(exposed, address)
		}
	}
	return exposed
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func validHost(host string) bool {
	if host == "" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	})
}

// splitOwner returns the user and the group of "user", "user:group" and
// ":group"; "" is for as it is.
func splitOwner(owner string) (user, group string, err error) {
	user, group, colon := strings.Cut(owner, ":")
	if !validName(user) || !validName(group) || colon && group == "" {
		return "", "", fmt.Errorf("%q is not user, user:group or :group", owner)
	}
	return user, group, nil
}

func validName(name string) bool {
	return len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == ':' || r == '/' || r >= 0x7f
	})
}
