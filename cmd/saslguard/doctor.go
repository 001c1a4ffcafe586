package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/daemon"
	"github.com/saslguard/saslguard/doctor"
)

func newDoctor() *cobra.Command {
	var d doctorCommand
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wired, wrong or missing on this mail host",
		Long: `Reads the settings of Postfix (postconf) and Dovecot (doveconf), saslguard's own
configuration, what the running saslguard says of itself, the other hosts and the
firewall agent (by the control socket), Redis and systemd, and says what is right, what is wrong and what is missing, with the lines that mend it.

It changes nothing. It asks where Postfix and Dovecot ask one question each, about
nobody. Best run as root: without, it says what it could not see. Only a
fingerprint of Dovecot's nonce is shown, to compare hosts by.

With -o json each finding has: id (stable), severity (ok, info, warning, error),
subject (what it is about; may be missing), found, why and fix (not with ok).
docs/troubleshooting.md lists the ids by what one notices.

Exit code: 0 nothing worse than info, 3 warnings, 4 errors; 2 and 78 as always.`,
		Example: `  saslguard doctor
  saslguard doctor -o json
  saslguard doctor --ignore redis-persistence,unit
  saslguard doctor --only dovecot-nonce-same --nonce 1f2e3d4c
  saslguard doctor --postfix-config /etc/postfix-out --dovecot-config /etc/dovecot/front.conf`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.run(c) },
	}
	d.settings.flags(c.Flags())
	f := c.Flags()
	f.StringVar(&d.options.Socket, "socket", "", "control `socket` of the saslguard that runs here (default: where one is found)")
	f.StringVarP(&d.output, "output", "o", "table", "`format`: table or json")
	f.StringSliceVar(&d.only, "only", nil, "look at these `ids` only")
	f.StringSliceVar(&d.ignore, "ignore", nil, "leave these `ids` out")
	f.StringVar(&d.options.PostfixConfig, "postfix-config", "", "Postfix's configuration `directory`")
	f.StringVar(&d.options.DovecotConfig, "dovecot-config", "", "Dovecot's configuration `file`")
	f.StringVar(&d.options.Postconf, "postconf", "", "`path` of Postfix's postconf")
	f.StringVar(&d.options.Doveconf, "doveconf", "", "`path` of Dovecot's doveconf")
	f.StringVar(&d.options.Fingerprint, "nonce", "", "`fingerprint` of Dovecot's nonce on another host, as doctor printed it there")
	for _, flag := range []string{"only", "ignore"} {
		// It fails only for a flag that does not exist.
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(doctor.IDs(), cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

// doctorCommand is the command and its flags.
type doctorCommand struct {
	settings     settings
	options      doctor.Options
	output       string
	only, ignore []string
}

func (d *doctorCommand) run(c *cobra.Command) error {
	if d.output != "table" && d.output != "json" {
		return usageError{fmt.Errorf("--output %q is not known; allowed is table or json", d.output)}
	}
	for _, id := range slices.Concat(d.only, d.ignore) {
		if !slices.Contains(doctor.IDs(), id) {
			return usageError{fmt.Errorf("there is no finding %q; allowed is %s", id, strings.Join(doctor.IDs(), ", "))}
		}
	}
	o := d.options
	// A wrong configuration is a finding like others: the rest is looked at with
	// the defaults. A wrong flag is not.
	conf, err := d.settings.load()
	if isUsage(err) {
		return err
	}
	o.Config, o.ConfigProblem = conf, err
	o.Version, o.Session = buildVersion(), session()
	if o.Socket == "" {
		if conf == nil {
			conf = configs.Default()
		}
		o.Socket, o.SocketProblem = daemon.FindControl(conf)
	}
	report := doctor.Run(c.Context(), o)
	report.Keep(d.only, d.ignore)
	write := writeFindings
	if d.output == "json" {
		write = writeReport
	}
	if err := write(c.OutOrStdout(), report); err != nil {
		return err
	}
	switch report.Worst() {
	case doctor.Error:
		return exitError(exitErrors)
	case doctor.Warning:
		return exitError(exitWarnings)
	}
	return nil
}

func writeReport(w io.Writer, r *doctor.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// writeFindings writes findings for people: the worst first, those that are as
// they should be a line each at the end.
func writeFindings(w io.Writer, r *doctor.Report) error {
	var b strings.Builder
	count := map[doctor.Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
		about := f.ID
		if f.Subject != "" {
			about += " (" + f.Subject + ")"
		}
		fmt.Fprintf(&b, "%-7s  %s: %s\n", f.Severity, about, f.Found)
		if f.Severity == doctor.OK {
			continue
		}
		fmt.Fprintf(&b, "         why: %s\n", f.Why)
		if f.Fix != "" {
			fmt.Fprintf(&b, "         fix: %s\n", strings.ReplaceAll(f.Fix, "\n", "\n              "))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\nerrors: %d, warnings: %d, infos: %d, as it should be: %d\n",
		count[doctor.Error], count[doctor.Warning], count[doctor.Info], count[doctor.OK])
	_, err := io.WriteString(w, b.String())
	return err
}
