package follow

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/maillog"
)

// Config is the `maillog` part of the configuration.
type Config struct {
	// Files are the paths of the logs, absolute; they need not exist yet.
	Files []string `mapstructure:"files"`
	// Services are the groups of services (guard.ServiceGroup) whose logins are
	// counted from logs. Needed where there is a log to follow.
	Services []string `mapstructure:"services"`
	// Since is how far back a log is read that is followed for the first time; 0:
	// it begins at its end. To 30d.
	Since time.Duration `mapstructure:"since"`
	// Timezone is the zone of lines that name none, such as Europe/Berlin; "" is
	// the system's.
	Timezone string `mapstructure:"timezone"`
	// DovecotLines is which of Dovecot's lines of a failure counts: login, auth or
	// pam.
	DovecotLines string `mapstructure:"dovecot_lines"`

	Journal JournalConfig `mapstructure:"journal"`
}

// JournalConfig is the `maillog.journal` part of the configuration.
type JournalConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Units and Identifiers are whose entries are read: of one of the systemd
	// units, or with one of the syslog identifiers.
	Units       []string `mapstructure:"units"`
	Identifiers []string `mapstructure:"identifiers"`
	// Directory has the journal's files; "" is the system's journal.
	Directory string `mapstructure:"directory"`
}

// The bounds of the configuration.
const (
	maxFiles   = 32
	maxMatches = 100
	maxSince   = 30 * 24 * time.Hour
)

// Enabled tells whether there is a log to follow.
func (c *Config) Enabled() bool { return len(c.Files) > 0 || c.Journal.Enabled }

// services are what Services may hold.
func services() []string { return []string{"smtp", "imap", "pop3", "sieve", "other"} }

// dovecotLines are what DovecotLines may be, in the parser's order.
func dovecotLines() []string { return []string{"login", "auth", "pam"} }

// parsing is how lines are read.
func (c *Config) parsing() maillog.Options {
	location, err := time.LoadLocation(c.Timezone)
	if err != nil || c.Timezone == "" { // Check has seen to the error
		location = time.Local
	}
	return maillog.Options{Location: location, Dovecot: maillog.DovecotLines(slices.Index(dovecotLines(), c.DovecotLines))}
}

// Check calls problem for everything that is wrong, with the key within this part
// of the configuration and a text that says what is allowed.
func (c *Config) Check(problem func(key, text string)) {
	c.checkFiles(problem)
	c.checkServices(problem)
	if c.Since < 0 || c.Since > maxSince {
		problem("since", fmt.Sprintf("%v is not between 0s and 30d", c.Since))
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil || c.Timezone == "Local" {
		problem("timezone", fmt.Sprintf(`%q is not known; allowed is a name such as Europe/Berlin or UTC, or "" for the system's`, c.Timezone))
	}
	if !slices.Contains(dovecotLines(), c.DovecotLines) {
		problem("dovecot_lines", fmt.Sprintf("%q is not known; allowed is %s", c.DovecotLines, strings.Join(dovecotLines(), ", ")))
	}
	c.Journal.check(func(key, text string) { problem("journal."+key, text) })
}

func (c *Config) checkFiles(problem func(key, text string)) {
	if len(c.Files) > maxFiles {
		problem("files", fmt.Sprintf("has %d entries; allowed are at most %d", len(c.Files), maxFiles))
	}
	for i, f := range c.Files {
		key := fmt.Sprintf("files[%d]", i)
		switch {
		case !isPath(f):
			problem(key, fmt.Sprintf("%q is no absolute path; allowed is one such as /var/log/mail.log", f))
		case path.Clean(f) != f:
			problem(key, fmt.Sprintf("%q can be written shorter; allowed is %q", f, path.Clean(f)))
		case strings.ContainsAny(f, "*?["):
			problem(key, fmt.Sprintf("%q is a pattern, and one would also match what was rotated away; allowed is the path of one log", f))
		case compressed(f):
			problem(key, fmt.Sprintf("%q is compressed, so nobody writes to it; allowed is the path of a log (replay reads compressed ones)", f))
		case slices.Contains(c.Files[:i], f):
			problem(key, fmt.Sprintf("%q is listed twice", f))
		}
	}
}

func (c *Config) checkServices(problem func(key, text string)) {
	allowed := "allowed are " + strings.Join(services(), ", ")
	if c.Enabled() && len(c.Services) == 0 {
		problem("services", "is empty, but files or journal.enabled is set, so nothing in the logs would count: name the services whose logins Dovecot's auth_policy does not report; "+allowed)
	}
	for i, s := range c.Services {
		key := fmt.Sprintf("services[%d]", i)
		switch {
		case slices.Contains([]string{"smtps", "submission", "submissions"}, s):
			problem(key, fmt.Sprintf("%q belongs to smtp, since Dovecot reports them as one; %s", s, allowed))
		case !slices.Contains(services(), s):
			problem(key, fmt.Sprintf("%q is not known; %s", s, allowed))
		case slices.Contains(c.Services[:i], s):
			problem(key, fmt.Sprintf("%q is listed twice", s))
		}
	}
}

func (c *JournalConfig) check(problem func(key, text string)) {
	if c.Enabled && len(c.Units) == 0 && len(c.Identifiers) == 0 {
		problem("units", "and identifiers are empty, so nothing would be read; allowed are units such as postfix.service")
	}
	if len(c.Units)+len(c.Identifiers) > maxMatches {
		problem("units", fmt.Sprintf("and identifiers have %d entries; allowed are at most %d", len(c.Units)+len(c.Identifiers), maxMatches))
	}
	for i, u := range c.Units {
		if !isUnit(u) {
			problem(fmt.Sprintf("units[%d]", i), fmt.Sprintf("%q is no unit; allowed is its whole name, such as postfix@-.service", u))
		}
	}
	for i, id := range c.Identifiers {
		if id == "" || len(id) > 255 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
			problem(fmt.Sprintf("identifiers[%d]", i), fmt.Sprintf("%q is no identifier; allowed is one such as postfix/smtpd", id))
		}
	}
	if c.Directory != "" && !isPath(c.Directory) {
		problem("directory", fmt.Sprintf(`%q is no absolute path; allowed is one such as /var/log/journal, or "" for the system's journal`, c.Directory))
	}
}

// Warnings calls warn for what works but may not be wanted, with keys as Check
// does.
func (c *Config) Warnings(warn func(key, text string)) {
	if len(c.Files) > 0 && c.Journal.Enabled {
		warn("journal.enabled", "and files are both set: where the journal's entries are also written into the files, each counts twice")
	}
}

func isPath(s string) bool {
	return path.IsAbs(s) && len(s) <= 4096 && s != "/" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isUnit tells whether s is a name that systemd.unit(5) allows, and whole.
func isUnit(s string) bool {
	const punctuation = `:-_.\@`
	name, suffix, _ := cutLast(s, '.')
	return name != "" && suffix != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(punctuation, r)
	})
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
