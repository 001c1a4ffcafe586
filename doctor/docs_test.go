package doctor

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the list of findings into docs/troubleshooting.md")

const (
	docsPath = "../docs/troubleshooting.md"
	docsMark = "<!-- The rest is written by: go test ./doctor -run Troubleshooting -update -->\n"
)

// TestTroubleshooting holds the document to the findings that there are.
func TestTroubleshooting(t *testing.T) {
	text, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), docsMark)
	if !ok {
		t.Fatalf("%s has no line %q", docsPath, docsMark)
	}
	want := documented()
	if *update {
		if err := os.WriteFile(docsPath, []byte(before+docsMark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if after != want {
		t.Errorf("%s is not of the findings there are: go test ./doctor -run Troubleshooting -update", docsPath)
	}
}

// documented is the list as the document has it.
func documented() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		kinds []Kind
	}{
		{"saslguard", saslguardKinds}, {"Postfix", postfixKinds}, {"Dovecot", dovecotKinds}, {"Redis", redisKinds}, {"The system", systemKinds},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| one notices | doctor finds | why | what mends it |\n|---|---|---|---|\n", part.title)
		for _, k := range part.kinds {
			fmt.Fprintf(&b, "| %s | `%s` (%s) | %s | %s |\n", k.Symptom, k.ID, k.Severity, k.Why, k.Mend)
		}
	}
	return b.String()
}
