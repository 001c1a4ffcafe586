package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
)

// Config is the `postfix` part of the configuration.
type Config struct {
	listen.Config `mapstructure:",squash"`

	// AllowFrom are the addresses and networks that may ask over TCP beside this host,
	// at most 100. Required where others can reach an address.
	AllowFrom []string `mapstructure:"allow_from"`

	// RefuseCode and RefuseText answer a refused client: 421 or 521, an enhanced
	// status code that fits it and text, at most 200 bytes.
	RefuseCode int    `mapstructure:"refuse_code"`
	RefuseText string `mapstructure:"refuse_text"`

	// Contexts say what a policy_context is; others are judged by the port.
	Contexts []Context `mapstructure:"contexts"`

	MaxConnections int           `mapstructure:"max_connections"` // 1 to 100,000
	MaxRequest     int           `mapstructure:"max_request"`     // bytes, 4,096 to 1 MiB
	IdleTimeout    time.Duration `mapstructure:"idle_timeout"`    // between requests, 1s to 24h; Postfix keeps idle connections for 300s
	ReadTimeout    time.Duration `mapstructure:"read_timeout"`    // of one request, and of writing its answer, 100ms to 1m
}

// Context says what a policy_context stands for.
type Context struct {
	// Name is 1 to 64 printable ASCII characters without spaces.
	Name string `mapstructure:"name"`
	// Verdicts is "all", or "operator" where automatic verdicts are ignored
	// because mail would bounce.
	Verdicts string `mapstructure:"verdicts"`
}

// The bounds of the configuration.
const (
	maxText        = 200
	maxContextName = 64
	maxContexts    = 100

	maxConnections = 100_000
	minRequest     = 4 << 10
	maxRequest     = 1 << 20

	minIdle, maxIdle = time.Second, 24 * time.Hour
	minRead, maxRead = 100 * time.Millisecond, time.Minute

	postfixIdle = 300 * time.Second // smtpd_policy_service_max_idle
)

// Check calls problem for everything that is wrong, with the key below the
// part's own, such as "refuse_text" or "contexts[1].name", and a text for
// people.
func (c Config) Check(problem func(key, text string)) {
	c.Config.Check(problem)
	c.checkPeers(problem)
	c.checkRefusal(problem)
	c.checkContexts(problem)
	if c.MaxConnections < 1 || c.MaxConnections > maxConnections {
		problem("max_connections", fmt.Sprintf("%d is not from 1 to %d", c.MaxConnections, maxConnections))
	}
	if c.MaxRequest < minRequest || c.MaxRequest > maxRequest {
		problem("max_request", fmt.Sprintf("%d is not from %d to %d bytes", c.MaxRequest, minRequest, maxRequest))
	}
	if c.IdleTimeout < minIdle || c.IdleTimeout > maxIdle {
		problem("idle_timeout", fmt.Sprintf("%v is not from %v to %v", c.IdleTimeout, minIdle, maxIdle))
	}
	if c.ReadTimeout < minRead || c.ReadTimeout > maxRead {
		problem("read_timeout", fmt.Sprintf("%v is not from %v to %v", c.ReadTimeout, minRead, maxRead))
	}
}

// Warnings calls warn for what works but may not be wanted, with keys as Check
// does. Loopback is none of it, although any program of this host can forge
// logins there too: it is the default, and saslguard.yaml says so.
func (c Config) Warnings(warn func(key, text string)) {
	for i, text := range c.AllowFrom {
		if p, err := guard.ParsePrefix(text); err == nil && p.Bits() == 0 {
			warn(fmt.Sprintf("allow_from[%d]", i), text+" is everybody, and the protocol knows no authentication: "+
				"whoever can connect could forge successful logins; name the hosts on which Postfix runs")
		}
	}
	if c.IdleTimeout < postfixIdle {
		warn("idle_timeout", fmt.Sprintf("%v is short: Postfix keeps idle connections for %v, "+
			"and has to connect anew when they are closed before", c.IdleTimeout, postfixIdle))
	}
}

// checkRefusal is strict because Postfix is not: 421 or 521 without a text
// permits, and any other code leaves the session open.
func (c Config) checkRefusal(problem func(key, text string)) {
	if c.RefuseCode != 421 && c.RefuseCode != 521 {
		problem("refuse_code", fmt.Sprintf("%d is neither 421 nor 521: with other codes Postfix does not hang up", c.RefuseCode))
		return
	}
	class := byte('0' + c.RefuseCode/100)
	status, text, _ := strings.Cut(c.RefuseText, " ")
	switch {
	case c.RefuseText == "":
		problem("refuse_text", fmt.Sprintf("is empty: Postfix permits on a bare %d", c.RefuseCode))
	case len(c.RefuseText) > maxText:
		problem("refuse_text", fmt.Sprintf("has %d bytes, at most %d are allowed", len(c.RefuseText), maxText))
	case strings.ContainsFunc(c.RefuseText, func(r rune) bool { return r < ' ' || r > '~' }):
		problem("refuse_text", "is not one line of printable ASCII")
	case !isStatus(status) || status[0] != class:
		problem("refuse_text", fmt.Sprintf("%q does not begin with an enhanced status code such as %c.7.0, which %d needs", c.RefuseText, class, c.RefuseCode))
	case strings.TrimSpace(text) == "" || strings.TrimSpace(text) != text:
		problem("refuse_text", fmt.Sprintf("%q has no text after its status code, or too many spaces", c.RefuseText))
	}
}

// isStatus tells whether s is an enhanced status code, RFC 3463 section 2.
func isStatus(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 {
		return false
	}
	for _, part := range parts {
		if len(part) < 1 || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

func (c Config) checkContexts(problem func(key, text string)) {
	if len(c.Contexts) > maxContexts {
		problem("contexts", fmt.Sprintf("has %d entries, at most %d are allowed", len(c.Contexts), maxContexts))
	}
	seen := make(map[string]bool, len(c.Contexts))
	for i, context := range c.Contexts {
		key := fmt.Sprintf("contexts[%d]", i)
		switch name := context.Name; {
		case name == "" || len(name) > maxContextName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			problem(key+".name", fmt.Sprintf("%q is not 1 to %d printable ASCII characters without spaces", name, maxContextName))
		case seen[name]:
			problem(key+".name", fmt.Sprintf("%q is listed twice", name))
		}
		seen[context.Name] = true
		if _, ok := scopeNamed(context.Verdicts); !ok {
			problem(key+".verdicts", fmt.Sprintf("%q is not known; allowed is all or operator", context.Verdicts))
		}
	}
}

func scopeNamed(verdicts string) (scope guard.Scope, ok bool) {
	switch verdicts {
	case "all":
		return guard.AllVerdicts, true
	case "operator":
		return guard.OperatorVerdicts, true
	}
	return guard.OperatorVerdicts, false
}

// settings are a Config made ready for use. They are immutable; a reload
// replaces them.
type settings struct {
	refusal        []byte         // the whole answer
	peers          []netip.Prefix // see admits
	contexts       map[string]contextRule
	maxConnections int
	maxRequest     int
	idle, read     time.Duration
}

// contextRule is what a policy_context says of a request.
type contextRule struct {
	scope   guard.Scope
	service string
}

func newSettings(cfg Config) (*settings, error) {
	var problems []error
	cfg.Check(func(key, text string) { problems = append(problems, fmt.Errorf("%s: %s", key, text)) })
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	s := &settings{
		refusal:        fmt.Appendf(nil, "action=%d %s\n\n", cfg.RefuseCode, cfg.RefuseText),
		peers:          cfg.peers(),
		contexts:       make(map[string]contextRule, len(cfg.Contexts)),
		maxConnections: cfg.MaxConnections,
		maxRequest:     cfg.MaxRequest,
		idle:           cfg.IdleTimeout,
		read:           cfg.ReadTimeout,
	}
	for _, context := range cfg.Contexts {
		scope, _ := scopeNamed(context.Verdicts)
		s.contexts[context.Name] = contextRule{scope, serviceNamed([]byte(context.Name))}
	}
	return s, nil
}
