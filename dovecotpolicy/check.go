package dovecotpolicy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// maxMessage is the longest refuse_message, in bytes: the lines of POP3 and
// SMTP that it becomes part of end at 512.
const maxMessage = 200

// Check calls problem for everything that is wrong, with the key within this
// part of the configuration and a text that says what to do about it.
func (c *Config) Check(problem func(key, text string)) {
	c.Config.Check(problem)
	c.checkCredentials(problem)
	c.checkTLS(problem)
	c.checkHash(problem)
	if text := badMessage(c.RefuseMessage); text != "" {
		problem("refuse_message", text)
	}
	number(problem, "max_connections", c.MaxConnections, 1, 100_000)
	number(problem, "max_body", c.MaxBody, 4096, 1<<20)
	duration(problem, "idle_timeout", c.IdleTimeout, 15*time.Second, time.Hour)
	duration(problem, "read_timeout", c.ReadTimeout, 100*time.Millisecond, time.Minute)
	duration(problem, "stale_after", c.StaleAfter, time.Second, time.Minute)
}

// Warnings calls warn for what works but may not be wanted, with keys as Check
// does. Of what is wrong on several addresses the first is enough.
func (c *Config) Warnings(warn func(key, text string)) {
	warned := map[string]bool{}
	once := func(key, text string) {
		if !warned[key] {
			warn(key, text)
		}
		warned[key] = true
	}
	for _, address := range c.Listen {
		switch {
		case strings.HasPrefix(address, "unix:"):
		case !isExposed(address) && !c.hasCredentials():
			once("api_key", "is empty, so any program on this host can forge reports on "+address+
				", and have others banned; set it here and in auth_policy_server_api_header")
		case isExposed(address) && c.TLSCert == "":
			once("tls_cert", "is empty, and others than this host can reach "+address+
				": credentials and logins cross the network readable; set it and tls_key")
		}
	}
}

func (c *Config) hasCredentials() bool { return c.APIKey != "" || c.User != "" }

func (c *Config) checkCredentials(problem func(key, text string)) {
	if !c.hasCredentials() {
		for _, address := range c.Listen {
			if isExposed(address) {
				problem("api_key", "required, because others can reach "+address+
					": set it here, and in Dovecot auth_policy_server_api_header = X-API-Key: <the key>"+
					" (or set user and password, and put them into auth_policy_server_url)")
				break
			}
		}
	}
	if !isHeaderText(c.APIKey) {
		problem("api_key", "must be printable ASCII without blanks, or no header can carry it")
	}
	if strings.Contains(c.User, ":") {
		problem("user", "must not contain a colon, which ends the user in Basic authentication")
	}
	if c.User == "" && c.Password != "" {
		problem("password", "needs user as well")
	}
	if c.User != "" && c.Password == "" {
		problem("user", "needs password as well")
	}
}

func (c *Config) checkTLS(problem func(key, text string)) {
	switch {
	case c.TLSCert == "" && c.TLSKey != "":
		problem("tls_key", "needs tls_cert as well")
	case c.TLSCert != "" && c.TLSKey == "":
		problem("tls_cert", "needs tls_key as well")
	case c.TLSCert != "":
		c.certificate(problem)
	}
}

func (c *Config) checkHash(problem func(key, text string)) {
	if (c.Nonce != "" || c.HashMech != "") && hashMech(c.HashMech) == nil {
		problem("hash_mech", fmt.Sprintf("%q is none of sha256, sha384, sha512, sha1, md5, sha3-256, sha3-512", c.HashMech))
	}
	if c.HashTruncate < 0 || c.HashTruncate > 512 {
		problem("hash_truncate", fmt.Sprintf("%d is not between 0 (all bits) and 512", c.HashTruncate))
	}
}

// badMessage says what is wrong with a message to refused clients, or "".
// Dovecot puts it raw into its replies, where a bracket could end or begin a
// response code (RFC 3501 resp-text, RFC 2449 section 8) and braces a literal.
func badMessage(m string) string {
	switch {
	case m == "":
		return "must not be empty: IMAP wants a text after NO"
	case len(m) > maxMessage:
		return fmt.Sprintf("has %d bytes, more than %d", len(m), maxMessage)
	case m[0] == ' ' || m[len(m)-1] == ' ':
		return "must not begin or end with a blank"
	}
	for i := range len(m) {
		if c := m[i]; c < ' ' || c > '~' || strings.IndexByte(`"\[]{}`, c) >= 0 {
			return fmt.Sprintf(`must be one line of printable ASCII without " \ [ ] { }, and has %q at byte %d`, c, i)
		}
	}
	return ""
}

// isHeaderText says whether a header can carry the text unchanged.
func isHeaderText(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isExposed says whether others than this host can reach an address. One that
// is none is not, and somebody else's problem.
func isExposed(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(address, "unix:") || host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.Unmap().IsLoopback()
}

func number(problem func(key, text string), key string, n, low, high int) {
	if n < low || n > high {
		problem(key, fmt.Sprintf("%d is not between %d and %d", n, low, high))
	}
}

func duration(problem func(key, text string), key string, d, low, high time.Duration) {
	if d < low || d > high {
		problem(key, fmt.Sprintf("%v is not between %v and %v", d, low, high))
	}
}
