package days

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saslguard/saslguard/configs"
)

const document = "../../../docs/rules.md"

// written replaces the table of a name in the document, or holds it to it.
func written(t *testing.T, name, table string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "<!-- "+name+" -->\n")
	old, after, ends := strings.Cut(rest, "<!-- end -->\n")
	switch {
	case !ok || !ends:
		t.Errorf("%s has no place for the table %q", document, name)
	case *update:
		text := before + "<!-- " + name + " -->\n" + table + "<!-- end -->\n" + after
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("the table %q of %s is not what came of the days (go test ./test/adversary/days -update writes it):\n%s", name, document, table)
	}
}

// holds wants a line in the document. The other lines of its table take minutes.
func holds(t *testing.T, line string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err == nil && !strings.Contains(string(text), line) {
		err = fmt.Errorf("%s has not (go test ./test/adversary/days -vary -update -timeout 30m writes it): %s", document, line)
	}
	if err != nil {
		t.Error(err)
	}
}

func attackTable(all []scenario, result map[string]figures) string {
	var b strings.Builder
	b.WriteString("| attacker | tries a day | verified a day | had it been right, open a day | bans a day |\n|---|---|---|---|---|\n")
	for _, s := range all {
		f := result[s.name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", s.name, f.perDay(f.tries), f.perDay(f.verified), f.perDay(f.tested), f.perDay(f.bans))
	}
	return b.String()
}

func ownerTable(all []scenario, result map[string]figures) string {
	var b strings.Builder
	b.WriteString("| owners | right logins | refused | added delay p50 | p99 |\n|---|---|---|---|---|\n")
	for _, s := range all {
		f := result[s.name]
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s |\n", s.name, f.logins, f.hurt, delay(f.p50), delay(f.p99))
	}
	return b.String()
}

func limitTable(all []scenario, result map[string]figures) string {
	var b strings.Builder
	b.WriteString("| owners | right logins | refused | of accounts | bans of their address | why |\n|---|---|---|---|---|---|\n")
	for _, s := range all {
		f := result[s.name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", s.name, f.logins, f.hurt, f.victims, len(f.hit), s.limit)
	}
	return b.String()
}

func delay(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return d.Round(100 * time.Millisecond).String()
}

var explained = regexp.MustCompile("(?m)^- \\*\\*`rules\\.([a-z0-9_.]+)`\\*\\* \\(`([^`]*)`\\)")

// TestEachRuleIsExplained holds the document to the rules that there are, and to their
// defaults.
func TestEachRuleIsExplained(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Rules yaml.Node `yaml:"rules"`
	}
	if err := yaml.Unmarshal(configs.Defaults(), &all); err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{}
	leaves("", &all.Rules, rules)
	if len(rules) < 40 {
		t.Errorf("only %d rules were found in the defaults", len(rules))
	}
	for _, m := range explained.FindAllStringSubmatch(string(text), -1) {
		switch value, ok := rules[m[1]]; {
		case !ok:
			t.Errorf("%s explains rules.%s twice, or there is none", document, m[1])
		case value != m[2]:
			t.Errorf("%s has rules.%s at %s; the default is %s", document, m[1], m[2], value)
		}
		delete(rules, m[1])
	}
	for key := range rules {
		t.Errorf("%s does not explain rules.%s", document, key)
	}
}

// leaves are the keys below a node that have values, which are written as in YAML.
func leaves(prefix string, n *yaml.Node, into map[string]string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := prefix+n.Content[i].Value, n.Content[i+1]
		switch value.Kind {
		case yaml.MappingNode:
			leaves(key+".", value, into)
		case yaml.SequenceNode:
			var items []string
			for _, item := range value.Content {
				items = append(items, item.Value)
			}
			into[key] = "[" + strings.Join(items, ", ") + "]"
		default:
			into[key] = value.Value
			if value.Value == "" {
				into[key] = `""`
			}
		}
	}
}
