package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The bounds of what doveconf prints.
const (
	maxSettings = 50_000 // lines
	maxNesting  = 16
)

// A section is a block of Dovecot's settings: the whole, or "service anvil {".
type section struct {
	kind, name string // service, anvil; the name may be empty, as of plugin
	settings   map[string]string
	sections   []*section
}

func newSection(kind, name string) *section {
	return &section{kind: kind, name: name, settings: map[string]string{}}
}

// parseDoveconf reads what `doveconf -n` prints: comments, "name = value",
// "kind name {" and "}". The version is in the first comment. 2.4 prints names
// that begin alike in a block of what they share: see get.
func parseDoveconf(text string) (root *section, version string, err error) {
	root = newSection("", "")
	open := []*section{root}
	err = eachLine("doveconf", text, maxSettings, func(line string) string {
		line = strings.TrimLeft(line, " ")
		in := open[len(open)-1]
		switch {
		case line == "":
		case line[0] == '#':
			if version == "" {
				version, _, _ = strings.Cut(strings.TrimSpace(line[1:]), ": ")
			}
		case line == "}":
			if len(open) == 1 {
				return "closes a block that is not open"
			}
			open = open[:len(open)-1]
		default:
			return settingOrBlock(line, in, &open)
		}
		return ""
	})
	if err == nil && len(open) > 1 {
		err = fmt.Errorf("what doveconf printed ends within a block (%s)", plain(open[len(open)-1].kind, maxSubject))
	}
	if err == nil && version == "" {
		err = fmt.Errorf("what doveconf printed does not say of which version it is")
	}
	return root, version, err
}

func settingOrBlock(line string, in *section, open *[]*section) (problem string) {
	// A value may end with a brace, the head of a block has no " = ".
	if name, value, ok := assignment(line); ok {
		v, ok := unquote(value)
		if !ok {
			return "has a value whose quotes do not match"
		}
		in.settings[name] = v
		return ""
	}
	head, ok := strings.CutSuffix(line, " {")
	if !ok {
		return "is neither a setting nor a block"
	}
	if len(*open) > maxNesting {
		return "is nested too deep"
	}
	kind, name, _ := strings.Cut(head, " ")
	name, ok = unquote(name)
	if kind == "" || !ok {
		return "is no block with a name"
	}
	s := newSection(kind, name)
	in.sections = append(in.sections, s)
	*open = append(*open, s)
	return ""
}

// unquote takes the quotes off a value that doveconf had to quote.
func unquote(s string) (string, bool) {
	if s == "" || s[0] != '"' {
		return s, true
	}
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	var b strings.Builder
	inner := s[1 : len(s)-1]
	for i := 0; i < len(inner); i++ {
		switch {
		case inner[i] == '\\' && i+1 < len(inner):
			i++
			b.WriteByte(inner[i])
		case inner[i] == '\\' || inner[i] == '"':
			return "", false
		default:
			b.WriteByte(inner[i])
		}
	}
	return b.String(), true
}

// get is a setting that is not in a named block. 2.4 prints auth_policy_server_url
// either so or as server_url in a block auth_policy.
func (s *section) get(name string) (string, bool) {
	if v, ok := s.settings[name]; ok {
		return v, true
	}
	for _, sub := range s.sections {
		if rest, ok := strings.CutPrefix(name, sub.kind+"_"); ok && sub.name == "" {
			for _, n := range []string{rest, name} {
				if v, ok := sub.get(n); ok {
					return v, true
				}
			}
		}
	}
	return "", false
}

// block is a block without a name, found as get finds settings.
func (s *section) block(name string) *section {
	for _, sub := range s.sections {
		if sub.kind == name && sub.name == "" {
			return sub
		}
	}
	for _, sub := range s.sections {
		if rest, ok := strings.CutPrefix(name, sub.kind+"_"); ok && sub.name == "" {
			for _, n := range []string{rest, name} {
				if b := sub.block(n); b != nil {
					return b
				}
			}
		}
	}
	return nil
}

// named is the block of a kind and a name.
func (s *section) named(kind, name string) *section {
	for _, sub := range s.sections {
		if sub.kind == kind && sub.name == name {
			return sub
		}
	}
	return nil
}

// walk calls f for every block below s.
func (s *section) walk(f func(*section)) {
	for _, sub := range s.sections {
		f(sub)
		sub.walk(f)
	}
}

// dovecotTime reads a time as doveconf prints it ("2 secs", "1 mins", "500
// msecs") or as people write it ("2s").
func dovecotTime(s string) (time.Duration, bool) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz ")
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0, false
	}
	unit, ok := map[string]time.Duration{
		"ms": time.Millisecond, "msec": time.Millisecond, "msecs": time.Millisecond, "milliseconds": time.Millisecond,
		"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
		"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
		"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	}[strings.TrimSpace(s[len(number):])]
	if n == 0 {
		return 0, true
	}
	return time.Duration(n) * unit, ok
}
