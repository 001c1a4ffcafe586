package configs

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// TestEveryKeyIsDescribed holds saslguard.yaml and Config together: every key
// is in both, and has a comment of its own.
func TestEveryKeyIsDescribed(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal(Defaults(), &doc); err != nil {
		t.Fatal(err)
	}
	described(t, schema(), doc.Content[0])
}

func described(t *testing.T, f *field, n *yaml.Node) {
	var order []string
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		order = append(order, key.Value)
		child := f.child(key.Value)
		if child == nil {
			t.Errorf("line %d: %s is no key of Config", key.Line, join(f.key, key.Value))
			continue
		}
		if len(key.HeadComment) < 10 {
			t.Errorf("line %d: %s has no comment above it", key.Line, child.key)
		}
		if child.kind == section {
			described(t, child, value)
		}
	}
	for _, child := range f.fields {
		if !strings.Contains(" "+strings.Join(order, " ")+" ", " "+child.name+" ") {
			t.Errorf("%s is not in saslguard.yaml", child.key)
		}
	}
}

// TestKeys holds keys to a spelling from which the names of environment
// variables follow without doubt.
func TestKeys(t *testing.T) {
	spelling := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	names := map[string]string{}
	schema().walk(func(f *field) {
		if f.key != "" && !spelling.MatchString(f.name) {
			t.Errorf("%s: %q is not lower case with underscores", f.key, f.name)
		}
		if other, taken := names[f.envName()]; taken {
			t.Errorf("%s and %s are both %s", f.key, other, f.envName())
		}
		names[f.envName()] = f.key
	})
}

// TestEveryKeyFromText holds that every single key can be set by its
// environment variable and by a flag.
func TestEveryKeyFromText(t *testing.T) {
	for _, f := range schema().leaves() {
		value, want := otherValue(t, f)
		for from, load := range map[string]func(l *loader){
			f.envName():  func(l *loader) { l.environment([]string{f.envName() + "=" + value}) },
			"--" + f.key: func(l *loader) { l.flags([]Override{{Key: f.key, Value: value}}) },
		} {
			l := newLoader()
			l.defaults()
			load(l)
			var c Config
			if err := l.viper.UnmarshalExact(&c); err != nil || len(l.complaints) > 0 {
				t.Errorf("%s=%s: %v %v", from, value, err, l.complaints)
				continue
			}
			got := fmt.Sprint(reflect.ValueOf(c).FieldByIndex(f.index).Interface())
			if got != want {
				t.Errorf("%s=%s: got %s, want %s", from, value, got, want)
			}
			if l.places.of(f.key) == (place{}) {
				t.Errorf("%s: the place is not known", from)
			}
		}
	}
}

// otherValue is a value as text and as fmt shows it. It need not be allowed,
// only be unlike the default.
func otherValue(t *testing.T, f *field) (value, want string) {
	switch f.kind {
	case text:
		return "a, b = c", "a, b = c"
	case number:
		return "7.25", "7.25"
	case whole:
		return "77", "77"
	case truth:
		return "true", "true"
	case span:
		return "1d1h", (25 * time.Hour).String()
	case texts:
		return "a, [::1]:25,,c", "[a [::1]:25 c]"
	case records:
		if f.key == "admin.control.tokens" {
			return "[{name: a, role: b, token: c, token_file: d}]", "[{a b c d}]"
		}
		if f.key == "firewall.limits" {
			return "[{ports: [25, 26], rate: 2/hour, burst: 3, expiry: 1h, size: 4}]", "[{[25 26] 2/hour 3 1h0m0s 4}]"
		}
		return "[{name: a, verdicts: b}]", "[{a b}]"
	default:
		t.Fatalf("%s: a kind without a value", f.key)
		return "", ""
	}
}

func TestTextOfRecords(t *testing.T) {
	for value, want := range map[string]string{
		"":                   "is not YAML (empty)",
		"[":                  "is not YAML",
		"a=b":                "is one value; allowed is a list of entries, each with name, verdicts",
		"[{nam: a}]":         "postfix.contexts[0].nam: is not known; did you mean postfix.contexts.name?",
		"&a [*a]":            "anchor",
		"[{name: [x]}]":      "postfix.contexts[0].name: is a list",
		"[{name: a}]\n---\n": "",
	} {
		l := newLoader()
		l.environment([]string{"SASLGUARD_POSTFIX_CONTEXTS=" + value})
		got := sorted(l.complaints).Error()
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
		if got != "" && !strings.HasPrefix(got, "environment SASLGUARD_POSTFIX_CONTEXTS: postfix.contexts") {
			t.Errorf("%q: no place in %q", value, got)
		}
	}
}

func TestSecretsAreMarked(t *testing.T) {
	secretName := regexp.MustCompile(`(password|_key|nonce|secret|token)$`)
	for _, f := range schema().leaves() {
		if f.kind == text && f.name != "tls_key" && (secretName.MatchString(f.name) || f.key == "notify.webhook.url") != f.secret { // in which there may be a token
			t.Errorf("%s: secret is %t", f.key, f.secret)
		}
	}
}
