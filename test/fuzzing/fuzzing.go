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
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	tries   = 300              // inputs for one target, its corpus included
	longest = 90 * time.Second // for one target
)

// Briefly fuzzes every target of the test's package for a moment. An input that makes
// one fail is written to testdata/fuzz, as go test does, and belongs into the repository.
func Briefly(t *testing.T) {
	t.Helper()
	corpus := regexp.MustCompile(`testing seed corpus: \d+/(\d+) completed`)
	for _, target := range targets(t) {
		t.Run(target, func(t *testing.T) {
			// Inputs are counted and not timed: go test takes the end of a short time
			// for a failure now and then.
			out := fuzz(t, target, tries)
			if m := corpus.FindSubmatch(out); m != nil && !bytes.Contains(out, []byte("now fuzzing")) {
				n, _ := strconv.Atoi(string(m[1])) // digits, of a corpus that is in memory
				out = fuzz(t, target, n+tries)
			}
			if !bytes.Contains(out, []byte("now fuzzing")) {
				t.Errorf("nothing was tried:\n%s", out)
			}
		})
	}
}

func fuzz(t *testing.T, target string, n int) []byte {
	t.Helper()
	out, err := run(t, "-test.run=^$", "-test.fuzz=^"+target+"$", fmt.Sprintf("-test.fuzztime=%dx", n),
		"-test.fuzzcachedir="+t.TempDir(), "-test.parallel=2")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
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
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // it sleeps for a second at each end
	return cmd.CombinedOutput()
}
