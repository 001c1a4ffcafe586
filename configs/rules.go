package configs

import (
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/saslguard/saslguard/guard"
)

// LoadRules returns the rules of a file, over the defaults: of a saslguard.yaml with
// conf.d beside it, as Load reads them, or of a file that has only what stands
// below `rules:` in one. Neither the environment nor flags count, and nothing but the
// rules is checked against this machine. "" are the defaults. The error is of type
// Problems.
func LoadRules(file string) (guard.Config, error) {
	l := newLoader()
	l.defaults()
	if file != "" && !l.bareRules(file) {
		l.files(file)
	}
	var c Config
	if err := l.viper.UnmarshalExact(&c); err != nil {
		l.complain(complaint{place{}, "", "cannot be decoded: " + err.Error()})
	}
	c.Rules.Check(func(key, text string) {
		if key = "rules." + key; !l.follows(key, text) {
			l.complain(complaint{l.blame(key, text), key, text})
		}
	})
	if len(l.complaints) > 0 {
		return guard.Config{}, sorted(l.complaints)
	}
	return c.Rules, nil
}

// bareRules reads a file whose keys are those of the rules, and tells whether it is
// one. What cannot be read or parsed is not; the other way will say why.
func (l *loader) bareRules(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(text) > maxFile {
		return false
	}
	doc, more, err := parseYAML(text)
	if err != nil || more != nil || doc == nil || doc.Kind != yaml.MappingNode {
		return false
	}
	rules, bare := l.root.child("rules"), false
	for i := 0; i < len(doc.Content); i += 2 {
		name := doc.Content[i].Value
		if l.root.child(name) != nil {
			return false
		}
		bare = bare || rules.child(name) != nil
	}
	if !bare {
		return false
	}
	r := l.reader(file)
	r.values = map[string]any{"rules": r.section(rules, "rules", doc)}
	l.merge(r)
	return true
}
