package admin

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Check reports everything that is wrong with the configuration, by keys
// relative to it.
func (c *Config) Check(problem func(key, text string)) {
	c.checkListen(problem)
	c.Control.check(func(key, text string) { problem("control."+key, text) })
}

func (c *Config) checkListen(problem func(key, text string)) {
	const allowed = `allowed is host:port on loopback, such as 127.0.0.1:4002, or "" for nowhere`
	if c.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		problem("listen", fmt.Sprintf("%q is no address; %s", c.Listen, allowed))
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		problem("listen", fmt.Sprintf("%q has no port between 1 and 65535; %s", c.Listen, allowed))
	}
	// Metrics tell how much is being attacked and refused, and nobody is asked
	// who he is: so only those on this host may see them.
	addr, err := netip.ParseAddr(host)
	if loopback := err == nil && addr.IsLoopback() || host == "localhost"; !loopback {
		problem("listen", fmt.Sprintf("%q is not on loopback, and whoever asks is not authenticated; %s", c.Listen, allowed))
	}
}

// The bounds of tokens. Shorter ones could be guessed; a name stands in logs.
const (
	maxTokens    = 100
	minToken     = 20
	maxToken     = 256
	maxTokenName = 64
)

func (c *ControlConfig) check(problem func(key, text string)) {
	path := c.Socket
	if path == "" || path == NoSocket {
		path = "/run/control.sock" // only to have mode and owner checked
	}
	c.SocketConfig(path).Check(func(key, text string) {
		if key == "listen[0]" {
			key, text = "socket", text+`; allowed is an absolute path, "" for the runtime directory, or none`
		}
		problem(key, text)
	})
	c.TCPConfig().Check(func(key, text string) {
		if strings.HasPrefix(key, "listen") {
			problem(key, text)
		}
	})
	for i, address := range c.Listen {
		if strings.HasPrefix(address, "unix:") {
			problem(fmt.Sprintf("listen[%d]", i), fmt.Sprintf("%q is a Unix socket; its path belongs to control.socket", address))
		}
	}
	c.checkTLS(problem)
	c.checkTokens(problem)
}

func (c *ControlConfig) checkTLS(problem func(key, text string)) {
	exposed := c.TCPConfig().Exposed()
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		if len(exposed) > 0 {
			problem("tls_cert", "required, because others can reach control.listen, "+exposed[0]+", and a token on the wire is anybody's; allowed is the path of a PEM file")
		}
	case c.TLSKey == "":
		problem("tls_key", "required with tls_cert; allowed is the path of a PEM file")
	case c.TLSCert == "":
		problem("tls_cert", "required with tls_key; allowed is the path of a PEM file")
	default:
		if _, err := c.certificate(); err != nil {
			problem("tls_cert", err.Error())
		}
	}
}

func (c *ControlConfig) checkTokens(problem func(key, text string)) {
	if len(c.Listen) > 0 && len(c.Tokens) == 0 {
		problem("tokens", "nobody could ask on "+c.Listen[0]+" without one; allowed are entries such as {name: monitoring, role: read, token_file: /etc/saslguard/token}")
	}
	if len(c.Tokens) > maxTokens {
		problem("tokens", fmt.Sprintf("has %d entries; allowed are at most %d", len(c.Tokens), maxTokens))
		return
	}
	names := map[string]bool{}
	for i := range c.Tokens {
		t := &c.Tokens[i]
		at := func(key, text string) { problem(fmt.Sprintf("tokens[%d].%s", i, key), text) }
		switch {
		case t.Name == "" || len(t.Name) > maxTokenName || !plain(t.Name):
			at("name", fmt.Sprintf("%q is no name; allowed are 1 to %d letters, digits, _ . and -", t.Name, maxTokenName))
		case names[t.Name]:
			at("name", fmt.Sprintf("%q is there twice; allowed is a name of its own", t.Name))
		}
		names[t.Name] = true
		if t.Role != RoleRead && t.Role != RoleOperate {
			at("role", fmt.Sprintf("%q is not known; allowed is %s or %s", t.Role, RoleRead, RoleOperate))
		}
		if (t.Token == "") == (t.TokenFile == "") {
			at("token", "one of token and token_file is needed, and not both; allowed is either")
			continue
		}
		if _, err := t.read(); err != nil {
			key := "token"
			if t.TokenFile != "" {
				key = "token_file"
			}
			at(key, err.Error())
		}
	}
}

func plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
	})
}
