package configs

import (
	"slices"
	"strings"
)

// config makes the configuration of the merged layers and has it checked.
func (l *loader) config() (*Config, error) {
	c := &Config{places: l.places, warnings: l.warnings, sources: l.sources}
	// The layers hold only keys of the schema with values of their types, so
	// this fails only if schema and decoder disagree.
	if err := l.viper.UnmarshalExact(c); err != nil {
		l.complain(complaint{place{}, "", "cannot be decoded: " + err.Error()})
	}
	c.Check(func(key, text string) {
		if !l.follows(key, text) {
			l.complain(complaint{l.blame(key, text), key, text})
		}
	})
	if len(l.complaints) > 0 {
		return nil, sorted(l.complaints)
	}
	l.warn(c)
	return c, nil
}

// warn adds the warnings about values to those about files.
func (l *loader) warn(c *Config) {
	if c.deaf() {
		c.warnings = append(c.warnings, Problem{c.places.of("postfix.listen").String(), "postfix.listen",
			"neither Postfix nor Dovecot can ask, unless systemd passes sockets: dovecot.listen is empty too"})
	}
	for _, p := range c.parts() {
		if warner, ok := p.part.(interface{ Warnings(func(key, text string)) }); ok {
			warner.Warnings(func(key, text string) {
				key = p.key + "." + key
				c.warnings = append(c.warnings, Problem{l.blame(key, text).String(), key, text})
			})
		}
	}
}

// blame finds where a problem comes from: where its key was set, or, if that is
// a default, where another key was set of which the text speaks, as in "not
// above client.tarpit", or which belongs to it, as refuse_code to refuse_text.
func (l *loader) blame(key, text string) place {
	if at := l.places.of(key); at != (place{}) {
		return at
	}
	set := sortedKeys(l.places)
	for _, related := range []func(other string) bool{
		func(other string) bool { return mentions(text, key, other) },
		func(other string) bool { return family(other) == family(key) },
	} {
		if i := slices.IndexFunc(set, related); i >= 0 {
			return l.places[set[i]]
		}
	}
	return place{}
}

// family is a key to the first underscore of its last name: keys of one family
// are about one thing.
func family(key string) string {
	name := lastName(key)
	first, _, _ := strings.Cut(name, "_")
	return strings.TrimSuffix(key, name) + first
}

// follows tells whether a problem only follows from a value that could not be
// read, so that a default stands in for it.
func (l *loader) follows(key, text string) bool {
	for _, u := range l.unread {
		if u == key || strings.HasPrefix(key, u+"[") || strings.HasPrefix(key, u+".") && strings.HasSuffix(u, "]") || mentions(text, key, u) {
			return true
		}
	}
	return false
}

// mentions tells whether the text of a problem with a key speaks of another
// key, by its whole name or, in the same part, by its name there.
func mentions(text, key, other string) bool {
	if word(text, other) {
		return true
	}
	part, _, _ := strings.Cut(key, ".")
	relative, same := strings.CutPrefix(other, part+".")
	return same && word(text, relative)
}

// word tells whether a key stands in a text by itself, not as a part of another.
func word(text, key string) bool {
	for rest := text; ; {
		before, after, found := strings.Cut(rest, key)
		if !found {
			return false
		}
		if !strings.ContainsAny(last(before), keyOctets+".") && !strings.ContainsAny(first(after), keyOctets) {
			return true
		}
		rest = after
	}
}

const keyOctets = "abcdefghijklmnopqrstuvwxyz0123456789_"

func first(s string) string { return s[:min(len(s), 1)] }
func last(s string) string  { return s[max(len(s)-1, 0):] }
