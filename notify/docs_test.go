package notify

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fenced returns the first block of a language in docs/notifications.md.
func fenced(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "```"+language+"\n")
	block, _, closed := strings.Cut(after, "```")
	if !ok || !closed {
		t.Fatalf("there is no block of %s", language)
	}
	return block
}

// The documented way to verify a request takes what is sent, and nothing else.
func TestTheDocumentedVerification(t *testing.T) {
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte(`{"title":"it's \n 100%s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	signature := Sign([]byte(secret), "1795000000", []byte(`{"title":"it's \n 100%s"}`))
	for _, c := range []struct {
		timestamp, signature string
		taken                bool
	}{
		{"1795000000", signature, true},
		{"1795000001", signature, false},
		{"1795000000", Sign([]byte("another secret"), "1795000000", []byte(`{"title":"it's \n 100%s"}`)), false},
	} {
		cmd := exec.Command("sh", "-euc", fenced(t, "sh"))
		cmd.Env = append(os.Environ(), "timestamp="+c.timestamp, "signature="+c.signature, "secret="+secret, "body="+body)
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.taken || len(out) > 0 {
			t.Errorf("%s: %v %s", c.timestamp, err, out)
		}
	}
}

// The documented body has the fields of the one that is sent, and no others.
func TestTheDocumentedBody(t *testing.T) {
	var documented, sent any
	if err := json.Unmarshal([]byte(fenced(t, "json")), &documented); err != nil {
		t.Fatal(err)
	}
	until := time.Unix(1_795_000_000, 0)
	text, err := json.Marshal(body{News: []entry{{
		Why: "w", Do: "d", Commands: []string{"c"}, Client: "c", Account: "a", From: "f", Ban: &ban{Until: &until},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		t.Fatal(err)
	}
	if a, b := names(documented), names(sent); !reflect.DeepEqual(a, b) {
		t.Errorf("documented %v\nsent %v", a, b)
	}
}

// names is the shape of JSON: its keys, without values.
func names(v any) any {
	switch v := v.(type) {
	case map[string]any:
		keys := map[string]any{}
		for k, x := range v {
			keys[k] = names(x)
		}
		return keys
	case []any:
		if len(v) > 0 {
			return []any{names(v[0])}
		}
	}
	return nil
}
