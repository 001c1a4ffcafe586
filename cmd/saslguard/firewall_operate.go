package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/daemon"
	"github.com/saslguard/saslguard/firewall"
)

// firewallAsk is a command that asks the agent, and the flags that all of them
// have.
type firewallAsk struct {
	settings settings
	socket   string
	output   string
}

func (a *firewallAsk) flags(c *cobra.Command) {
	a.settings.flags(c.Flags())
	c.Flags().StringVar(&a.socket, "socket", "", "`path` of the agent's socket (default "+firewall.Socket+" in the runtime directory)")
	c.Flags().StringVarP(&a.output, "output", "o", "table", "`format`: table or json")
}

// client finds the agent.
func (a *firewallAsk) client() (*firewall.Client, error) {
	if a.output != "table" && a.output != "json" {
		return nil, usageError{fmt.Errorf("--output %q is not known; allowed is table or json", a.output)}
	}
	if a.socket != "" {
		return firewall.NewClient(a.socket), nil
	}
	c, err := a.settings.load()
	if err != nil {
		return nil, err
	}
	path, err := daemon.FirewallSocket(c)
	if err != nil {
		return nil, err
	}
	return firewall.NewClient(path), nil
}

// show writes an answer, as JSON or by a function.
func (a *firewallAsk) show(w io.Writer, answer any, table func(io.Writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(answer)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	table(t)
	return t.Flush()
}

// ask makes a command of a question whose answer is the agent's status.
func (a *firewallAsk) ask(c *cobra.Command, question func(ctx context.Context, f *firewall.Client) (firewall.Status, error)) *cobra.Command {
	c.Args = noArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := a.client()
		if err != nil {
			return err
		}
		s, err := question(c.Context(), f)
		if err != nil {
			return err
		}
		return a.show(c.OutOrStdout(), s, func(w io.Writer) { writeFirewallStatus(w, s) })
	}
	a.flags(c)
	return c
}

func writeFirewallStatus(w io.Writer, s firewall.Status) {
	fmt.Fprintf(w, "backend\t%s\nstate\t%s\nbans\t%d\nallowed\t%d\n", s.Backend, s.State, s.Bans, s.Allowed)
	if !s.Position.IsZero() {
		fmt.Fprintf(w, "position\t%s\n", s.Position)
	}
	fmt.Fprintf(w, "denied\t%d packets, %d octets, since it was built\n", s.Packets, s.Octets)
	if s.Flushed > 0 {
		fmt.Fprintf(w, "flushed\t%d bans, until it is resumed\n", s.Flushed)
	}
	if !s.Until.IsZero() {
		fmt.Fprintf(w, "paused\tuntil %s\n", s.Until.Format(time.RFC3339))
	}
	if s.Error != "" {
		fmt.Fprintf(w, "last error\t%s, at %s\n", s.Error, s.FailedAt.Format(time.RFC3339))
	}
}

func newFirewallStatus() *cobra.Command {
	var a firewallAsk
	return a.ask(&cobra.Command{
		Use:   "status",
		Short: "Say what the firewall of this host enforces",
		Example: `  saslguard firewall status
  saslguard firewall status -o json`,
	}, func(ctx context.Context, f *firewall.Client) (firewall.Status, error) { return f.Status(ctx) })
}

func newFirewallPause() *cobra.Command {
	var a firewallAsk
	var keep bool
	var lasts string
	c := a.ask(&cobra.Command{
		Use:   "pause",
		Short: "Take all bans out of the firewall, and leave it alone",
		Long: `Takes everything out of the firewall of this host and leaves it alone until
'saslguard firewall resume', or a restart. With --keep what is there stays, its bans
end when they are over, and no new ones come: so an administrator can change it by
hand without it being mended. Postfix and Dovecot go on to refuse the banned.`,
		Example: `  saslguard firewall pause
  saslguard firewall pause --for 10m
  saslguard firewall pause --keep`,
	}, func(ctx context.Context, f *firewall.Client) (firewall.Status, error) {
		var d time.Duration
		if lasts != "" {
			var err error
			if d, err = configs.ParseDuration(lasts); err != nil || d <= 0 {
				return firewall.Status{}, usageError{fmt.Errorf("--for: %q is no time of a pause; allowed is a time such as 10m or 4h", lasts)}
			}
		}
		return f.Pause(ctx, keep, d)
	})
	c.Flags().BoolVar(&keep, "keep", false, "leave in the firewall what is there")
	c.Flags().StringVar(&lasts, "for", "", "`time` after which it resumes by itself, such as 10m")
	return c
}

func newFirewallResume() *cobra.Command {
	var a firewallAsk
	return a.ask(&cobra.Command{
		Use:     "resume",
		Short:   "End a pause, and bring back what was flushed",
		Example: `  saslguard firewall resume`,
	}, func(ctx context.Context, f *firewall.Client) (firewall.Status, error) { return f.Resume(ctx) })
}

func newFirewallFlush() *cobra.Command {
	var a firewallAsk
	c := &cobra.Command{
		Use:   "flush",
		Short: "Take all bans out of the firewall that are in it now",
		Long: `Takes the bans that are in the firewall of this host out of it. They are not
lifted: Postfix and Dovecot go on to refuse, other hosts to enforce. Bans made from
now on are enforced here; those that were taken out come back when they are made
anew, by 'saslguard firewall resume', or by a restart.`,
		Example: `  saslguard firewall flush`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.client()
			if err != nil {
				return err
			}
			flushed, err := f.Flush(c.Context())
			if err != nil {
				return err
			}
			return a.show(c.OutOrStdout(), flushed, func(w io.Writer) { fmt.Fprintf(w, "%d bans were taken out of the firewall\n", flushed.Bans) })
		},
	}
	a.flags(c)
	return c
}

func newFirewallRates() *cobra.Command {
	var a firewallAsk
	c := &cobra.Command{
		Use:   "rates",
		Short: "List the clients that the limits of new connections know",
		Long: `Lists every client that firewall.limits know: which limit, how many packets of
connections beyond it were refused, when the last new connection came, and when the
client is forgotten if no other comes.`,
		Example: `  saslguard firewall rates
  saslguard firewall rates -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.client()
			if err != nil {
				return err
			}
			rates, err := f.Rates(c.Context())
			if err != nil {
				return err
			}
			return a.show(c.OutOrStdout(), rates, func(w io.Writer) {
				fmt.Fprintln(w, "CLIENT\tPORTS\tRATE\tREFUSED\tLAST\tFORGOTTEN")
				for _, r := range rates {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Source, strings.Join(r.Ports, ","), r.Rate, r.Refused,
						r.Last.Format(time.RFC3339), r.Forgotten.Format(time.RFC3339))
				}
			})
		},
	}
	a.flags(c)
	return c
}
