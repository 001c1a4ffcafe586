// Package fuzzing has the fuzz tests of a package look for new inputs for a moment in
// every run of the tests, beside the corpora that are run in any case.
//
// It starts the test program that is running once more, as `go test -fuzz` does, so
// that nothing is built for it. That program measures no coverage, and so only mutates
// the corpora: enough to see that a parser withstands what is near to what it knows.
// test/fuzz, which builds each package anew, searches for as long as one likes.
package fuzzing

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	each    = "300ms"          // for one target
	patient = "5s"             // where the corpus alone takes longer
	longest = 90 * time.Second // for one target, its start and its corpus included
)

// Briefly fuzzes every target of the test's package for a moment. An input that makes
// one fail is written to testdata/fuzz, as go test does, and belongs into the repository.
func Briefly(t *testing.T) {
	t.Helper()
	for _, target := range targets(t) {
		t.Run(target, func(t *testing.T) {
			var out []byte
			for _, long := range []string{each, patient} {
				var err error
				out, err = run(t, "-test.run=^$", "-test.fuzz=^"+target+"$", "-test.fuzztime="+long,
					"-test.fuzzcachedir="+t.TempDir(), "-test.parallel=2")
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if bytes.Contains(out, []byte("now fuzzing")) {
					return
				}
			}
			t.Errorf("the corpus alone takes longer than %s:\n%s", patient, out)
		})
	}
}

// targets are the fuzz tests of the running program.
func targets(t *testing.T) []string {
	t.Helper()
	out, err := run(t, "-test.list=^Fuzz")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "Fuzz") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("there is no fuzz test:\n%s", out)
	}
	return names
}

func run(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	return exec.CommandContext(ctx, self, args...).CombinedOutput()
}
