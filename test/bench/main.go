// The bench command measures saslguard: the real program in a process of its own,
// beside baselines that take turns with it on the same machine. Every figure is a
// ratio to such a baseline, or stands beside one.
//
//	go run ./test/bench
//	go run ./test/bench --parts throughput,latency --rounds 3
//	go run ./test/bench --parts hotpath --record
//	go run ./test/bench --document docs/performance.md
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/saslguard/saslguard/test/bench/load"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == baselineCommand {
		fail(serveBaseline(os.Args[2], os.Args[3]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	met, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fail(err)
	}
	if !met {
		os.Exit(2)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// bench is what is measured, how, and what came of it.
type bench struct {
	parts            []string
	rounds           int
	duration         time.Duration // of each run
	connections      int           // that ask at once
	threads          int           // of the load generator
	mix              load.Mix
	people           int // clients that are known, banned and allowed
	clients          int // attacking, for memory and growth
	bans             int // for the start
	lines            int // of the log
	regexRounds      int
	rate             float64
	record, strict   bool
	output, document string
	earlier          []string // files of results
	dir, program     string
	fresh            atomic.Int64
	figures          []figure
	notes            []string
	curves           []curve
	progress         io.Writer
	command          string
	began            time.Time
}

// part is something that is measured.
type part struct {
	name, about string
	usual       bool // when no parts are asked for
	run         func(*bench, context.Context) error
}

func allParts() []part {
	return []part{
		{"throughput", "questions answered in a second, and what an answer costs", true, (*bench).throughput},
		{"latency", "how long answers take at a fixed rate", true, (*bench).latency},
		{"redis", "what a shared store costs", true, (*bench).shared},
		{"memory", "what attacking clients take", true, (*bench).memory},
		{"start", "from the start until the banned are refused", true, (*bench).start},
		{"growth", "cost by clients tracked and connections", true, (*bench).growth},
		{"logs", "replay beside grep and fail2ban-regex", true, (*bench).logs},
		{"hotpath", "allocations of the inner parts beside recorded bounds", true, (*bench).hotpath},
		{"profile", "where the time goes, by perf", false, (*bench).profile},
	}
}

func flags(b *bench) *pflag.FlagSet {
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	var usual, all []string
	for _, p := range allParts() {
		all = append(all, fmt.Sprintf("  %-11s %s", p.name, p.about))
		if p.usual {
			usual = append(usual, p.name)
		}
	}
	f.StringSliceVar(&b.parts, "parts", usual, "what to measure")
	f.IntVar(&b.rounds, "rounds", 5, "how often; the contenders take turns in each round")
	f.DurationVar(&b.duration, "duration", 2*time.Second, "how long each contender answers in a round")
	f.IntVar(&b.connections, "connections", 64, "how many ask at once, where that is not what is measured")
	f.IntVar(&b.threads, "threads", 1, "of the load generator; more of them take more from what is measured beside them")
	f.String("mix", "new=25,known=50,banned=20,allowed=5", "of which clients the questions are")
	f.IntVar(&b.people, "people", 10_000, "how many clients are known, banned and on the allowlist")
	f.IntVar(&b.clients, "clients", 1_000_000, "attacking clients, for memory and growth")
	f.IntVar(&b.bans, "bans", 100_000, "bans, for the start")
	f.IntVar(&b.lines, "lines", 1_000_000, "lines of the log")
	f.IntVar(&b.regexRounds, "regex-rounds", 0, "how often fail2ban-regex reads the log, which takes its time")
	f.Float64Var(&b.rate, "rate", 10_000, "questions a second, for latency")
	f.BoolVar(&b.record, "record", false, "record the allocations of the hot paths as bounds, in the source")
	f.BoolVar(&b.strict, "strict", false, "exit code 2 where a target is missed")
	f.StringVarP(&b.output, "output", "o", "table", "format: table, markdown or json")
	f.StringSliceVar(&b.earlier, "add", nil, "`file` with the JSON of an earlier run, whose figures stand before those of this one")
	f.StringVar(&b.document, "document", "", "write the table into this `file` between its markers, and the chart beside it")
	f.Usage = func() {
		fmt.Fprintf(os.Stderr, "Measures saslguard beside baselines on this machine. Parts:\n%s\n\nFlags:\n%s", strings.Join(all, "\n"), f.FlagUsages())
	}
	return f
}

// run measures what the arguments ask for, and tells whether all targets are met.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (met bool, err error) {
	b := &bench{progress: stderr, began: time.Now(), command: "go run ./test/bench " + strings.Join(args, " ")}
	f := flags(b)
	if err := f.Parse(args); err == pflag.ErrHelp {
		return true, nil
	} else if err != nil {
		return false, err
	}
	mix, _ := f.GetString("mix")
	if b.mix, err = load.ParseMix(mix); err != nil {
		return false, err
	}
	if b.rounds < 1 || b.threads < 1 || b.connections < b.threads || b.people < 1 || b.clients < 1 || b.bans < 1 || b.duration < time.Millisecond || b.rate < 1 {
		return false, fmt.Errorf("rounds, threads, people, clients, bans, duration and rate are more than nothing, and connections as many as threads")
	}
	if !slices.Contains([]string{"table", "markdown", "json"}, b.output) {
		return false, fmt.Errorf("there is no format %q; there are table, markdown and json", b.output)
	}
	for _, name := range b.parts {
		if !slices.ContainsFunc(allParts(), func(p part) bool { return p.name == name }) {
			return false, fmt.Errorf("there is no part %q; --help lists them", name)
		}
	}
	if b.dir, err = os.MkdirTemp("", "saslguard-bench-"); err != nil {
		return false, err
	}
	defer os.RemoveAll(b.dir)
	if err := b.build(ctx); err != nil {
		return false, err
	}
	for _, p := range allParts() {
		if !slices.Contains(b.parts, p.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(stderr, "%s: %s … ", p.name, p.about)
		if err := p.run(b, ctx); err != nil {
			// What was measured before has taken its time, and is worth to be seen.
			fmt.Fprintln(stderr)
			return false, errors.Join(fmt.Errorf("%s: %w", p.name, err), b.print(stdout))
		}
		fmt.Fprintf(stderr, "%.1fs\n", time.Since(began).Seconds())
	}
	return b.allMet() || !b.strict, b.print(stdout)
}

// build builds what is measured, where it is: the hot paths are in this program.
func (b *bench) build(ctx context.Context) error {
	if len(b.parts) == 1 && b.parts[0] == "hotpath" {
		return nil
	}
	b.program = filepath.Join(b.dir, "saslguard")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "github.com/saslguard/saslguard/cmd/saslguard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building saslguard: %w: %s", err, out)
	}
	return nil
}

func (b *bench) add(f figure)     { b.figures = append(b.figures, f) }
func (b *bench) note(text string) { b.notes = append(b.notes, text) }
func (b *bench) root() bool       { return os.Geteuid() == 0 }

func (b *bench) allMet() bool {
	return !slices.ContainsFunc(b.figures, func(f figure) bool {
		met, known := f.verdict()
		return known && !met
	})
}

// sizes are how many clients there are of each kind.
func (b *bench) sizes() load.Sizes {
	return load.Sizes{load.Known: b.people, load.Banned: b.people, load.Allowed: b.people}
}
