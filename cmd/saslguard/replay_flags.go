package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/replay"
)

// replayFlags are the flags of replay.
type replayFlags struct {
	rules, compare    string
	maxRetry          int
	findTime, banTime string
	top               int
	client, account   string
	since, until      string
	timezone          string
	output, explain   string
	verbose           bool
}

func (f *replayFlags) add(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.rules, "rules", "", "rules from `file`: a saslguard.yaml, or only what is below rules: in it (default the shipped ones)")
	fs.StringVar(&f.compare, "compare", "", "compare with the rules of another `file`, or with defaults")
	fs.IntVar(&f.maxRetry, "maxretry", replay.DefaultJail().MaxRetry, "rules as of fail2ban: failures that lead to a ban, `n`")
	fs.StringVar(&f.findTime, "findtime", "10m", "rules as of fail2ban: `time` within which they count")
	fs.StringVar(&f.banTime, "bantime", "10m", "rules as of fail2ban: `time` that a ban lasts")
	fs.IntVar(&f.top, "top", defaultTop, "rows of each list, `n`; 0 is all, as is the default of -o json")
	fs.StringVar(&f.client, "client", "", "only about this `address` or prefix, and what happened to it")
	fs.StringVar(&f.account, "account", "", "only about this `login`, and what happened to it")
	fs.StringVar(&f.since, "since", "", "leave out what is before this `time`: 2026-11-22, '2026-11-22 06:25', RFC 3339, or 7d ago")
	fs.StringVar(&f.until, "until", "", "leave out what is at this `time` or after")
	fs.StringVar(&f.timezone, "timezone", "", "`zone` of the log where it names none, and of the report: Europe/Berlin, UTC (default this machine's)")
	fs.StringVarP(&f.output, "output", "o", "table", "`format`: table, json or raw")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what reading took: time, processor time, and the most memory")
	fs.StringVar(&f.explain, "explain", "", "say how one `line` is read, field by field; - reads lines from standard input")
}

const defaultTop = 10

// options are what the flags say, at a time that "7d ago" is counted from.
func (f *replayFlags) options(c *cobra.Command, now time.Time) (replay.Options, error) {
	o := replay.Options{Top: f.top, Focus: replay.Focus{Account: f.account}}
	switch f.output {
	case "table", "raw":
	case "json":
		if !c.Flags().Changed("top") {
			o.Top = 0
		}
	default:
		return o, usageError{fmt.Errorf("--output %q is not known; allowed is table, json or raw", f.output)}
	}
	if f.top < 0 {
		return o, usageError{fmt.Errorf("--top %d is negative; allowed is a number of rows, or 0 for all", f.top)}
	}
	if c.Flags().Changed("account") && f.account == "" || c.Flags().Changed("client") && f.client == "" {
		return o, usageError{fmt.Errorf("--client and --account need a value")}
	}
	zone, err := f.location()
	if err != nil {
		return o, err
	}
	o.Log = maillog.Options{Location: zone}
	if f.client != "" {
		if o.Focus.Client, err = replay.ParseClient(f.client); err != nil {
			return o, usageError{fmt.Errorf("--client %q %w", f.client, err)}
		}
	}
	if o.Since, err = moment("--since", f.since, now, zone); err != nil {
		return o, err
	}
	if o.Until, err = moment("--until", f.until, now, zone); err != nil {
		return o, err
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && !o.Since.Before(o.Until) {
		return o, usageError{fmt.Errorf("--since is not before --until, so nothing is left")}
	}
	o.Sets, err = f.ruleSets(c)
	return o, err
}

func (f *replayFlags) location() (*time.Location, error) {
	if f.timezone == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(f.timezone)
	if err != nil {
		return nil, usageError{fmt.Errorf("--timezone %q is not known here; allowed is a name such as Europe/Berlin or UTC", f.timezone)}
	}
	return zone, nil
}

// moment reads a time: RFC 3339, a day, a day with a time, or a span before now.
func moment(flag, s string, now time.Time, zone *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	if d, err := configs.ParseDuration(strings.TrimSuffix(s, " ago")); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, usageError{fmt.Errorf("%s %q is no time; allowed is 2026-11-22, \"2026-11-22 06:25\", 2026-11-22T06:25:00+01:00, or a time before now such as 12h or 7d", flag, s)}
}

// jailed tells whether rules in fail2ban's words are asked for.
func (f *replayFlags) jailed(c *cobra.Command) bool {
	fs := c.Flags()
	return fs.Changed("maxretry") || fs.Changed("findtime") || fs.Changed("bantime")
}

func (f *replayFlags) jail() (replay.Jail, error) {
	j := replay.Jail{MaxRetry: f.maxRetry}
	var err error
	if j.FindTime, err = jailTime("--findtime", f.findTime); err != nil {
		return j, err
	}
	if j.BanTime, err = jailTime("--bantime", f.banTime); err != nil {
		return j, err
	}
	if err := j.Check(); err != nil {
		return j, usageError{err}
	}
	return j, nil
}

// jailTime reads a time as fail2ban's configuration has it: a number without a unit
// is seconds.
func jailTime(flag, s string) (time.Duration, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if s == "-1" && flag == "--bantime" {
		return replay.LongestBan, nil // permanent, in fail2ban's words
	}
	d, err := configs.ParseDuration(s)
	if err != nil {
		return 0, usageError{fmt.Errorf("%s %w", flag, err)}
	}
	return d, nil
}
