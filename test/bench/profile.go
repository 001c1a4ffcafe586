package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/saslguard/saslguard/test/bench/load"
)

// profile samples the running program by perf and prints the functions that take most
// of its time. It needs no door into the program that others could use.
func (b *bench) profile(ctx context.Context) (err error) {
	if !installed(perf) {
		return fmt.Errorf("a profile needs perf (Debian package linux-perf)")
	}
	d, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := b.introduce(ctx, d); err != nil {
		return err
	}
	contenders := []*contender{
		d.measured("Dovecot allow", d.dovecot, b.closed(dovecot, b.crowd(load.Allow).Source)),
		d.measured("Dovecot report", d.dovecot, b.closed(dovecot, b.crowd(load.Report).Source)),
		d.measured("Postfix decision", d.postfix, b.closed(postfix, b.crowd().Source)),
	}
	if shared, redis, err := b.startShared(ctx); err != nil {
		return err
	} else if shared != nil {
		defer func() { _ = stopAll(shared.child, redis) }()
		l := b.closed(dovecot, b.crowd(load.Allow, load.Report).Source)
		l.Rate = b.rate
		contenders = append(contenders, shared.measured(fmt.Sprintf("Dovecot allow and report, Redis, at %.0f/s", b.rate), shared.dovecot, l))
	}
	for _, c := range contenders {
		if err := b.sample(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// sample runs perf while a contender answers.
func (b *bench) sample(ctx context.Context, c *contender) error {
	d := c.daemon
	data := filepath.Join(d.dir, "perf.data")
	whole := c.load.Warmup + c.load.Duration
	record := exec.CommandContext(ctx, perf, "record", "-q", "-F", "997", "-g", "-o", data, "-p", strconv.Itoa(d.cmd.Process.Pid),
		"sleep", fmt.Sprintf("%.2f", whole.Seconds()))
	if err := record.Start(); err != nil {
		return err
	}
	if err := errors.Join(c.run(ctx), record.Wait()); err != nil {
		return fmt.Errorf("sampling %s: %w", c.name, err)
	}
	fmt.Fprintf(b.progress, "\n%s, %.0f/s: the share of the time within a function, and with all that it calls\n", c.name, c.perSecond.median())
	for _, of := range [][]string{{"--no-children", "-F", "overhead,symbol"}, {"--children", "-F", "overhead_children,symbol"}} {
		args := append([]string{"report", "-i", data, "-g", "none", "--stdio"}, of...)
		out, err := exec.CommandContext(ctx, perf, args...).Output()
		if err != nil {
			return fmt.Errorf("reading the samples: %w", err)
		}
		lines := 0
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" || lines == profileLines {
				continue
			}
			fmt.Fprint(b.progress, line)
			lines++
		}
		fmt.Fprintln(b.progress)
	}
	return nil
}

// profileLines are how many functions are printed.
const profileLines = 30
