package configs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the list of keys into docs/configuration.md")

const (
	referencePath = "../docs/configuration.md"
	referenceMark = "<!-- The rest is written by: go test ./configs -run Reference -update -->\n"
)

// TestReference holds docs/configuration.md to the keys that there are and to what
// saslguard.yaml says of them.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), referenceMark)
	if !found {
		t.Fatalf("%s has no line %s", referencePath, referenceMark)
	}
	want := reference(t)
	if after == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what saslguard.yaml says; run: go test ./configs -run Reference -update", referencePath)
	}
	if err := os.WriteFile(referencePath, []byte(before+referenceMark+want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reference is the list of all keys.
func reference(t *testing.T) string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(Defaults(), &doc); err != nil {
		t.Fatal(err)
	}
	w := &referenceWriter{t: t, defaults: reflect.ValueOf(Default()).Elem()}
	w.section(schema(), doc.Content[0], false)
	return w.String()
}

type referenceWriter struct {
	bytes.Buffer
	t        *testing.T
	defaults reflect.Value
}

// section writes the keys of a section, those that are values first.
func (w *referenceWriter) section(f *field, n *yaml.Node, restart bool) {
	for _, sections := range []bool{false, true} {
		for i := 0; i < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			child := f.child(key.Value)
			if child == nil || (child.kind == section) != sections {
				continue
			}
			text, marked := remark(key.HeadComment)
			if child.kind == section {
				fmt.Fprintf(w, "\n## %s\n\n%s\n", child.key, text)
				w.section(child, value, restart || marked)
				continue
			}
			w.value(child, text, restart || marked)
		}
	}
}

// value writes a key that has a value.
func (w *referenceWriter) value(f *field, text string, restart bool) {
	standard, err := yaml.Marshal(f.node(w.defaults.FieldByIndex(f.index)))
	if err != nil {
		w.t.Fatal(err)
	}
	when := "a reload is enough"
	if restart {
		when = "needs a restart"
	}
	fmt.Fprintf(w, "\n### `%s`\n\n%s\n\n%s, default `%s`, %s, `%s`\n",
		f.key, text, kindNames[f.kind], strings.TrimSpace(string(standard)), when, f.envName())
}

var kindNames = map[kind]string{
	text: "Text", number: "Number", whole: "Whole number", truth: "true or false", span: "Time",
	texts: "List", records: "List of entries",
}

// remark is the comment above a key as text, and whether a change takes a restart.
func remark(comment string) (text string, restart bool) {
	// Of the first key YAML takes the head of the file for its comment.
	own := comment[strings.LastIndex(comment, "\n\n")+1:]
	var lines []string
	for line := range strings.Lines(own) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		lines = append(lines, strings.NewReplacer("*", `\*`, "<", `\<`).Replace(line))
	}
	text, marked := strings.CutPrefix(strings.TrimSpace(strings.Join(lines, "\n")), "(restart) ")
	return text, marked || strings.Contains(text, "(restart)")
}
