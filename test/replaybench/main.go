// The replaybench command measures 'saslguard replay' beside what administrators
// have: the pipeline of grep, egrep, sort, uniq and awk, and Debian's fail2ban-regex
// with its filter for Postfix. All of them read the same generated log, one after the
// other in each round, so that a machine that is busy is busy for all.
//
//	go run ./test/replaybench
//	go run ./test/replaybench -lines 1000000 -rounds 5 -regex-rounds 1
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/saslguard/saslguard/test/loggen/traffic"
)

func main() {
	lines := flag.Int("lines", 1_000_000, "lines of the log")
	rounds := flag.Int("rounds", 5, "how often each is run")
	regex := flag.Int("regex-rounds", 1, "how often fail2ban-regex is run, which takes its time; 0: not at all")
	flag.Parse()
	if err := bench(*lines, *rounds, *regex); err != nil {
		fmt.Fprintln(os.Stderr, "replaybench:", err)
		os.Exit(1)
	}
}

// contender is one way to look for guessers.
type contender struct {
	name   string
	rounds int
	env    []string
	args   []string
	runs   []usage
}

// usage is what one run needed.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // resident memory of the largest process, KiB
}

const pipeline = `grep 'authentication failed' "$1" | egrep -o '([0-9]{1,3}\.){3}[0-9]{1,3}' | sort | uniq -c | awk '$1 > 5'`

func bench(lines, rounds, regexRounds int) error {
	dir, err := os.MkdirTemp("", "replaybench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, log := filepath.Join(dir, "saslguard"), filepath.Join(dir, "mail.log")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/saslguard/saslguard/cmd/saslguard").CombinedOutput(); err != nil {
		return fmt.Errorf("building saslguard: %w\n%s", err, out)
	}
	truth, size, err := generate(log, lines)
	if err != nil {
		return err
	}
	failures := 0
	for _, n := range truth.Failures {
		failures += n
	}
	fmt.Printf("%d lines, %d MB; failed logins: %d of Postfix, %d clients; successful: %d\n\n",
		truth.Lines, size>>20, failures, len(truth.Failures), truth.Successes)

	contenders := []*contender{
		{name: "saslguard replay", rounds: rounds, args: []string{program, "replay", log}},
		{name: "pipeline, LC_ALL=C", rounds: rounds, env: []string{"LC_ALL=C"}, args: []string{"bash", "-c", pipeline, "bash", log}},
		{name: "pipeline, LC_ALL=C.UTF-8", rounds: rounds, env: []string{"LC_ALL=C.UTF-8"}, args: []string{"bash", "-c", pipeline, "bash", log}},
		{name: "fail2ban-regex", rounds: regexRounds, args: []string{"fail2ban-regex", "--print-no-missed", log, "postfix[mode=auth]"}},
	}
	for i := range max(rounds, regexRounds) {
		for _, c := range contenders {
			if i >= c.rounds {
				continue
			}
			if err := c.run(); err != nil {
				return err
			}
		}
	}
	report(contenders)
	return nil
}

func generate(path string, lines int) (traffic.Truth, int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return traffic.Truth{}, 0, err
	}
	truth, err := traffic.Write(f, traffic.Options{Lines: lines, Seed: 1, IPv6: true, Dovecot: true})
	if err != nil {
		f.Close()
		return truth, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return truth, 0, err
	}
	return truth, info.Size(), f.Close()
}

// run runs a contender once, to the end of its output.
func (c *contender) run() error {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	began := time.Now()
	out, err := cmd.Output()
	wall := time.Since(began)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", c.name, err, stderr.String())
	}
	if len(out) == 0 {
		return fmt.Errorf("%s has found nothing", c.name)
	}
	u := usage{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss
	}
	c.runs = append(c.runs, u)
	return nil
}

// report writes the figures; the first contender is what the others are held to.
func report(contenders []*contender) {
	median := func(c *contender) usage {
		slices.SortFunc(c.runs, func(a, b usage) int { return cmp.Compare(a.wall, b.wall) })
		return c.runs[len(c.runs)/2]
	}
	ours := median(contenders[0])
	fmt.Printf("%-26s %5s %9s  %-19s %9s %8s %8s\n", "", "runs", "median", "from - to", "cpu", "peak", "ratio")
	for _, c := range contenders {
		if len(c.runs) == 0 {
			continue
		}
		m := median(c)
		fmt.Printf("%-26s %5d %8.2fs  %7.2fs - %7.2fs %8.2fs %5d MB %7.2f×\n", c.name, len(c.runs), m.wall.Seconds(),
			c.runs[0].wall.Seconds(), c.runs[len(c.runs)-1].wall.Seconds(), m.cpu.Seconds(), m.peak>>10, float64(m.wall)/float64(ours.wall))
	}
	fmt.Println("\nratio: how many times as long as saslguard replay; peak: resident memory of the largest process")
}
