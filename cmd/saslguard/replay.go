package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/replay"
)

func newReplay() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay FILE…",
		Short: "Say what saslguard would have done about the logins in a mail log",
		Long: `Reads mail logs (Postfix, Dovecot and others; plain or compressed, in any order,
patterns such as '/var/log/mail.log*', - for standard input) and runs the real guard
over them, at the time of the log, as if it enforced. It needs no root, no Redis and
no configuration, and changes nothing.

It says what was read, then what the guard would have done: the worst clients, the
most attacked accounts, distributed attacks, and false alarms. The rules are the
defaults, those of --rules, or a jail of fail2ban's in the words of --maxretry,
--findtime and --bantime (what is not given is as fail2ban ships it).

-o json has everything, by names that stay; -o raw has the clients that would have
been banned, one a line, for other tools. --explain says how one line is read.`,
		Example: `  saslguard replay /var/log/mail.log
  saslguard replay '/var/log/mail.log*' --since 7d --top 20
  saslguard replay mail.log --rules ./saslguard.yaml --compare defaults
  saslguard replay mail.log --maxretry 5 --findtime 10m --bantime 1h --compare defaults
  saslguard replay mail.log --client 192.0.2.7
  journalctl -o json -t postfix/smtpd | saslguard replay -
  saslguard replay mail.log -o raw | while read -r a; do echo "deny from $a"; done
  tail -1 /var/log/mail.log | saslguard replay --explain -`,
		Args: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("explain") && f.explain == "" {
				return usageError{errors.New("--explain needs a line, or - for lines from standard input")}
			}
			if len(args) == 0 && f.explain == "" {
				return usageError{errors.New("replay needs a log: a file such as /var/log/mail.log, or - for standard input")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if f.explain != "" {
				return f.explainLine(c, args)
			}
			return f.run(c, args)
		},
	}
	f.add(c)
	return c
}

// run replays the logs and writes the report.
func (f *replayFlags) run(c *cobra.Command, paths []string) error {
	o, err := f.options(c, time.Now())
	if err != nil {
		return err
	}
	o.Paths, o.Stdin = paths, c.InOrStdin()
	bar := newBar(c.ErrOrStderr())
	o.Progress = bar.tell
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	report, err := replay.Run(ctx, o)
	bar.end()
	if f.verbose && report != nil {
		writeCost(c.ErrOrStderr(), report.Read.Lines, time.Since(began))
	}
	switch {
	case errors.Is(err, replay.ErrNothing):
		if e := f.write(c.OutOrStdout(), report); e != nil {
			return e
		}
		return nothingRecognised(&report.Read)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\n  mail logs are often readable by root or the group adm only: use sudo, or copy the log", err)
	case err != nil:
		return err
	}
	return f.write(c.OutOrStdout(), report)
}

func (f *replayFlags) write(w io.Writer, r *replay.Report) error {
	switch f.output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "raw":
		return r.WriteRaw(w)
	}
	return r.WriteTable(w)
}

// nothingRecognised says why a report is empty.
func nothingRecognised(r *replay.Read) error {
	switch {
	case r.Lines == 0:
		return fmt.Errorf("%w: the log is empty", replay.ErrNothing)
	case r.Malformed == r.Lines:
		return fmt.Errorf("%w: none of the %d lines is a line of a log that is known (syslog, RFC 5424, Postfix's, Dovecot's, journalctl -o json); "+
			"'saslguard replay --explain -' says how one line is read", replay.ErrNothing, r.Lines)
	case r.Unknown > 0:
		return fmt.Errorf("%w: %d lines look like failed logins, but their form is not known; please report the samples above", replay.ErrNothing, r.Unknown)
	}
	return fmt.Errorf("%w: none of the %d lines is about a login; is it the log of the mail server? Postfix and Dovecot log by the syslog facility mail, "+
		"often to /var/log/mail.log or /var/log/maillog", replay.ErrNothing, r.Lines)
}

// explainLine says how one line is read.
func (f *replayFlags) explainLine(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{errors.New("--explain takes a line, and no files beside it")}
	}
	zone, err := f.location()
	if err != nil {
		return err
	}
	parser := maillog.New(maillog.Options{Location: zone})
	if f.explain != "-" {
		return writeFields(c.OutOrStdout(), parser.Explain([]byte(f.explain)))
	}
	return explainAll(c.InOrStdin(), c.OutOrStdout(), parser)
}

// ruleSets are the rules that the flags ask for, and those to compare them with.
func (f *replayFlags) ruleSets(c *cobra.Command) ([]replay.RuleSet, error) {
	first, err := f.firstRules(c)
	if err != nil || f.compare == "" {
		return []replay.RuleSet{first}, err
	}
	second, err := rulesOf(f.compare)
	if second.Name == first.Name {
		second.Name += " (2)"
	}
	return []replay.RuleSet{first, second}, err
}

func (f *replayFlags) firstRules(c *cobra.Command) (replay.RuleSet, error) {
	set, err := rulesOf(f.rules)
	if err != nil {
		return set, err
	}
	if !f.jailed(c) {
		return set, nil
	}
	jail, err := f.jail()
	if err != nil {
		return set, err
	}
	return replay.RuleSet{Name: jail.Name(), Rules: jail.Rules(set.Rules)}, nil
}

// defaultRules is how the defaults are called on the command line.
const defaultRules = "defaults"

func rulesOf(file string) (replay.RuleSet, error) {
	if file == defaultRules {
		if _, err := os.Stat(file); err != nil {
			file = ""
		}
	}
	name := "the rules of " + file
	if file == "" {
		name = "the default rules"
	}
	rules, err := configs.LoadRules(file)
	return replay.RuleSet{Name: name, Rules: rules}, err
}
