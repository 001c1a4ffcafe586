package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saslguard/saslguard/listen"
)

const (
	maxPorts  = 64
	maxPrefix = 64 // of log lines; the kernel takes 127
	maxTable  = 64

	minBans, maxBans       = 1_000, 10_000_000
	minTimeout, maxTimeout = time.Second, 50 * time.Second
)

// Check calls problem for everything that is wrong, with the key below the
// part's own, such as "ports[0]" or "log.rate", and a text for people.
func (c *Config) Check(problem func(key, text string)) {
	oneOf(problem, "backend", c.Backend, NFTables, Exec, DryRun)
	oneOf(problem, "at_stop", c.AtStop, AtStopRemove, AtStopKeep)
	oneOf(problem, "verdict", c.Verdict, Drop, Reject)
	parsePorts(c.Ports, problem)
	listen.Config{Listen: []string{"unix:/" + Socket}, SocketOwner: c.SocketOwner}.Check(problem)
	between(problem, "max_bans", c.MaxBans, minBans, maxBans)
	c.checkTable(problem)
	c.Log.check(func(key, text string) { problem("log."+key, text) })
	if len(c.Limits) > maxLimits {
		problem("limits", fmt.Sprintf("has %d entries; allowed are at most %d", len(c.Limits), maxLimits))
	}
	for i := range c.Limits {
		c.Limits[i].parse(func(key, text string) { problem(fmt.Sprintf("limits[%d].%s", i, key), text) })
	}
	c.Exec.check(func(key, text string) { problem("exec."+key, text) })
	if c.Backend == Exec && len(c.Exec.Command) == 0 {
		problem("exec.command", "is empty, and the backend is exec; allowed is a list such as [/usr/local/sbin/saslguard-ipset]")
	}
}

// Warnings calls warn for what works but may not be wanted, with keys as Check
// does.
func (c *Config) Warnings(warn func(key, text string)) {
	if c.Backend != NFTables && len(c.Limits) > 0 {
		warn("limits", "are for the backend nftables, and without effect with "+c.Backend)
	}
	if slices.Contains(c.Hooks, HookPrerouting) && slices.Contains(c.Hooks, HookInput) {
		warn("hooks", "prerouting sees all that input sees; both count and limit twice")
	}
}

func (c *Config) checkTable(problem func(key, text string)) {
	word := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' }
	if c.Table == "" || len(c.Table) > maxTable || c.Table[0] < 'a' || c.Table[0] > 'z' ||
		strings.ContainsFunc(c.Table, func(r rune) bool { return !word(r) }) {
		problem("table", fmt.Sprintf("%s is no name of a table; allowed are 1 to %d of a-z, 0-9, _ and -, beginning with a letter", quote(c.Table), maxTable))
	}
	if len(c.Hooks) == 0 {
		problem("hooks", "is empty; allowed are input, forward and prerouting")
	}
	for i, h := range c.Hooks {
		key := fmt.Sprintf("hooks[%d]", i)
		oneOf(problem, key, h, HookInput, HookForward, HookPrerouting)
		if slices.Contains(c.Hooks[:i], h) {
			problem(key, quote(h)+" is listed twice")
		}
	}
}

func (c *LogConfig) check(problem func(key, text string)) {
	if len(c.Prefix) > maxPrefix || strings.ContainsFunc(c.Prefix, func(r rune) bool { return r < ' ' || r > '~' || r == '"' }) {
		problem("prefix", fmt.Sprintf("%s is not at most %d printable ASCII characters without \"", quote(c.Prefix), maxPrefix))
	}
	if r, err := ParseRate(c.Rate); err != nil {
		problem("rate", err.Error())
	} else if r.Full() > maxExpiry {
		problem("rate", fmt.Sprintf("%s is too slow; allowed is what comes at least once in %v", quote(c.Rate), maxExpiry))
	}
	between(problem, "group", c.Group, 0, 65535)
}

func (c *ExecConfig) check(problem func(key, text string)) {
	for i, arg := range c.Command {
		switch {
		case i == 0 && !strings.HasPrefix(arg, "/"):
			problem("command[0]", quote(arg)+" is relative; allowed is the absolute path of a program")
		case strings.ContainsRune(arg, 0):
			problem(fmt.Sprintf("command[%d]", i), "holds a NUL")
		}
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		problem("timeout", fmt.Sprintf("%v is out of range; allowed is %v to %v", c.Timeout, minTimeout, maxTimeout))
	}
}

// parsePorts reads ports and calls problem, by keys below the list's section.
func parsePorts(texts []string, problem func(key, text string)) []uint16 {
	if len(texts) == 0 || len(texts) > maxPorts {
		problem("ports", fmt.Sprintf("has %d entries; allowed are 1 to %d ports", len(texts), maxPorts))
		return nil
	}
	var ports []uint16
	for i, s := range texts {
		key := fmt.Sprintf("ports[%d]", i)
		n, err := strconv.ParseUint(s, 10, 16)
		switch p := uint16(n); {
		case err != nil || n == 0 || strconv.FormatUint(n, 10) != s:
			problem(key, quote(s)+" is no port; allowed is a number from 1 to 65535")
		case slices.Contains(ports, p):
			problem(key, quote(s)+" is listed twice")
		default:
			ports = append(ports, p)
		}
	}
	return ports
}

// GuardedPorts are the ports as numbers. It fails for what Check complains about.
func (c *Config) GuardedPorts() ([]uint16, error) {
	var errs []error
	ports := parsePorts(c.Ports, collect(&errs))
	return ports, errors.Join(errs...)
}

// ParsedLimits are the limits, ready for use. It fails for what Check complains
// about.
func (c *Config) ParsedLimits() ([]Limit, error) {
	var errs []error
	var limits []Limit
	for i := range c.Limits {
		limits = append(limits, c.Limits[i].parse(collect(&errs)))
	}
	return limits, errors.Join(errs...)
}

func collect(errs *[]error) func(key, text string) {
	return func(key, text string) { *errs = append(*errs, fmt.Errorf("%s: %s", key, text)) }
}

func between(problem func(key, text string), key string, n, least, most int) {
	if n < least || n > most {
		problem(key, fmt.Sprintf("%d is out of range; allowed is %d to %d", n, least, most))
	}
}

func oneOf(problem func(key, text string), key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		last := len(allowed) - 1
		problem(key, fmt.Sprintf("%s is not known; allowed is %s or %s", quote(value), strings.Join(allowed[:last], ", "), allowed[last]))
	}
}
