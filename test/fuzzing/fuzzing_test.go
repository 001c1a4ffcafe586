package fuzzing

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTargetIsFuzzed holds that no package has fuzz tests which only its corpora
// are run through.
func TestEveryTargetIsFuzzed(t *testing.T) {
	target := regexp.MustCompile(`(?m)^func Fuzz\w+\(f \*testing\.F\)`)
	has, runs := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if target.Match(text) {
			has[filepath.Dir(path)] = true
		}
		if strings.Contains(string(text), "{ fuzzing.Briefly(t) }") {
			runs[filepath.Dir(path)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(has) < 15 {
		t.Errorf("only %d packages have fuzz tests", len(has))
	}
	for dir := range has {
		if !runs[dir] {
			t.Errorf("%s has fuzz tests and no func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }", dir)
		}
	}
}
