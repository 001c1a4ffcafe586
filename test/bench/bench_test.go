package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBench builds the bench once for all that is seen of it.
func TestBench(t *testing.T) {
	program := built(t)
	t.Run("hot paths allocate what is recorded", func(t *testing.T) { hotPathsAllocateWhatIsRecorded(t, program) })
	t.Run("every part measures", func(t *testing.T) { everyPartMeasures(t, program) })
}

// built is the program without the race detector, under which pools allocate at
// random and nothing is as fast as it is.
func built(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bench")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // of what is compiled for others already
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the bench: %v\n%s", err, out)
	}
	return program
}

func measure(t *testing.T, program string, args ...string) results {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "-o", "json")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.String())
	}
	var r results
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	return r
}

// hotPathsAllocateWhatIsRecorded fails where an inner part allocates more than is
// recorded in hotpath/bounds.json. Where that is meant:
//
//	go run ./test/bench --parts hotpath --record
func hotPathsAllocateWhatIsRecorded(t *testing.T, program string) {
	r := measure(t, program, "--parts", "hotpath")
	if len(r.Figures) < 20 {
		t.Errorf("%d figures only", len(r.Figures))
	}
	for _, f := range r.Figures {
		if f.Met == nil || !*f.Met {
			t.Errorf("%s: %v %s, recorded is %v, allowed %s", f.What, f.Values, f.Unit, f.Baseline, f.Target)
		}
	}
}

// everyPartMeasures runs each part for a moment: what it measures means nothing,
// but that it does.
func everyPartMeasures(t *testing.T, program string) {
	document := filepath.Join(t.TempDir(), "performance.md")
	const frame = "before\n" + beginMark + "old\n" + endMark + "after\n"
	if err := os.WriteFile(document, []byte(frame), 0o600); err != nil {
		t.Fatal(err)
	}
	brief := func(duration, parts string) []string {
		return []string{"--rounds", "1", "--people", "50", "--clients", "1000", "--bans", "100", "--lines", "2000", "--rate", "500",
			"--duration", duration, "--parts", parts}
	}
	r := measure(t, program, brief("50ms", "throughput,latency,redis,memory,start,logs")...)
	// A thousand connections are not heard in a twentieth of a second.
	grown := measure(t, program, append(brief("200ms", "growth"), "--document", document)...)
	r.Figures, r.Notes = append(r.Figures, grown.Figures...), append(r.Notes, grown.Notes...)
	if len(r.Notes) > 0 {
		t.Errorf("not all was measured: %q", r.Notes)
	}
	seen := map[string]int{}
	for _, f := range r.Figures {
		seen[f.Part]++
		if len(f.Values) == 0 || f.Beside != "" && len(f.Ratio) != len(f.Values) {
			t.Errorf("%s: %v beside %v", f.What, f.Values, f.Baseline)
		}
	}
	for _, p := range []string{"throughput", "latency", "redis", "memory", "start", "growth", "logs"} {
		if seen[p] == 0 {
			t.Errorf("no figure of %s", p)
		}
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("before\n"+beginMark)) || !bytes.HasSuffix(text, []byte(endMark+"after\n")) || bytes.Contains(text, []byte("old")) {
		t.Errorf("the document is %s", text)
	}
	if chart, err := os.ReadFile(filepath.Join(filepath.Dir(document), "performance.svg")); err != nil || !bytes.HasPrefix(chart, []byte("<svg ")) {
		t.Errorf("the chart: %v, %.100s", err, chart)
	}
}

func TestFigures(t *testing.T) {
	f := figure{ours: series{30, 10, 20}, baseline: series{10, 10, 10}, target: ratioAtLeast(2)}
	if m := f.ratio().median(); m != 2 {
		t.Errorf("median %v", m)
	}
	for want, target := range map[bool]*target{true: ratioAtLeast(2), false: ratioAtLeast(2.1)} {
		f.target = target
		if met, known := f.verdict(); met != want || !known {
			t.Errorf("%+v: %v", target, met)
		}
	}
	if even := (series{4, 1, 3, 2}).median(); even != 2.5 {
		t.Errorf("median of four: %v", even)
	}
}
