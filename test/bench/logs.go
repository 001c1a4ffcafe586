package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/saslguard/saslguard/test/loggen/traffic"
)

// reader is one way to look for guessers in a log, and what each run of it needed.
type reader struct {
	name   string
	rounds int
	env    []string
	args   []string

	wall, cpu, peak series // seconds, seconds, MB of the largest process
}

// pipeline is what administrators write in a minute.
const pipeline = `grep 'authentication failed' "$1" | egrep -o '([0-9]{1,3}\.){3}[0-9]{1,3}' | sort | uniq -c | awk '$1 > 5'`

// logs has saslguard replay, the pipeline and fail2ban-regex with its filter for
// Postfix read the same generated log, one after the other in each round.
func (b *bench) logs(ctx context.Context) error {
	log := filepath.Join(b.dir, "mail.log")
	if err := generate(log, b.lines); err != nil {
		return err
	}
	ours := &reader{name: "replay", rounds: b.rounds, args: []string{b.program, "replay", log}}
	others := []*reader{
		{name: "pipeline, LC_ALL=C", rounds: b.rounds, env: []string{"LC_ALL=C"}, args: []string{"bash", "-c", pipeline, "bash", log}},
		{name: "pipeline, LC_ALL=C.UTF-8", rounds: b.rounds, env: []string{"LC_ALL=C.UTF-8"}, args: []string{"bash", "-c", pipeline, "bash", log}},
		{name: "fail2ban-regex", rounds: b.regexRounds, args: []string{fail2ban, "--print-no-missed", log, "postfix[mode=auth]"}},
	}
	if b.regexRounds > 0 && !installed(fail2ban) {
		return fmt.Errorf("fail2ban-regex is not installed (Debian package fail2ban)")
	}
	for i := range max(b.rounds, b.regexRounds) {
		for _, r := range append([]*reader{ours}, others...) {
			if i >= r.rounds {
				continue
			}
			if err := r.run(ctx); err != nil {
				return err
			}
		}
	}
	what := fmt.Sprintf("reading a log of %s lines", short(b.lines))
	for _, r := range others {
		if len(r.wall) == 0 {
			continue
		}
		var want *target
		switch r.name {
		case "pipeline, LC_ALL=C":
			want = ratioAtMost(1)
		case "fail2ban-regex":
			want = ratioAtMost(1.0 / 25)
		}
		b.add(figure{part: "logs", what: what, unit: seconds, ours: ours.wall, beside: r.name, baseline: r.wall, target: want})
		b.add(figure{part: "logs", what: what + ", processor time", unit: seconds, ours: ours.cpu, beside: r.name, baseline: r.cpu})
		b.add(figure{part: "logs", what: what + ", memory", unit: megabytes, ours: ours.peak, beside: r.name, baseline: r.peak})
	}
	return nil
}

func generate(path string, lines int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := traffic.Write(f, traffic.Options{Lines: lines, Seed: 1, IPv6: true, Dovecot: true}); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// run reads the log once, to the end of the output.
func (r *reader) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, r.args[0], r.args[1:]...)
	cmd.Env = append(plainEnvironment(), r.env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	began := time.Now()
	out, err := cmd.Output()
	wall := time.Since(began)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", r.name, err, stderr.String())
	}
	if len(out) == 0 {
		return fmt.Errorf("%s has found nothing", r.name)
	}
	r.wall = append(r.wall, wall.Seconds())
	r.cpu = append(r.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.peak = append(r.peak, float64(u.Maxrss)*1024/1e6)
	}
	return nil
}
