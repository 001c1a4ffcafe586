package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/configs"
)

func newBan() *cobra.Command {
	var r remote
	var p putting
	c := &cobra.Command{
		Use:   "ban PREFIX|ACCOUNT…",
		Short: "Ban networks and block accounts, on all hosts",
		Long: `Bans addresses and prefixes, and blocks accounts: from anywhere, also familiar
networks. It holds on all hosts, at once and over restarts. An operator's ban comes
before the allowlist; one that covers this host, loopback, the address from which you
are logged in by SSH, or a large part of the internet is made with --force only.

A host that observes refuses nobody, by operators' bans neither; that is said.
With --from, FILE has one prefix or account a line, with # before comments, or is
what 'saslguard bans -o json' has written, not an allowlist; where one line is wrong
nothing is done. Bans in it that were only observed have refused nobody and are left
out, which is said; with --observed they become real ones.
Exit code 1 if the ban was not made, or not all hosts know of it in time.`,
		Example: `  saslguard ban 192.0.2.7 --for 2h --reason "guesses slowly"
  saslguard ban 2001:db8:1:2::/64 198.51.100.0/24 --for permanent
  saslguard ban alice@example.org --for 1d --reason "password has leaked"
  saslguard ban --from blocklist.txt --for 7d --reason "our blocklist"
  ssh mx1 saslguard bans -o json | saslguard ban --from -`,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c, &r, args, false, (*client.Client).Ban, "banned", "blocked")
		},
	}
	r.flags(c, "table", "json")
	p.flags(c, "1d", "ban")
	c.Flags().BoolVar(&p.observed, "observed", false, "with --from, also bans that were only observed")
	c.Flags().BoolVar(&p.force, "force", false, "also what would lock out this host, you, or half the world")
	return c
}

// putting is the flags of commands that make entries.
type putting struct {
	duration string
	reason   string
	from     string
	wait     ageFlag
	account  bool
	force    bool
	observed bool
}

func (p *putting) flags(c *cobra.Command, usual, what string) {
	f := c.Flags()
	f.StringVar(&p.duration, "for", usual, "how long: a `time` such as 2h or 30d, or permanent")
	f.StringVar(&p.reason, "reason", "", "why, for those who see the "+what+" later")
	f.StringVar(&p.from, "from", "", "take what is in `FILE`, - is standard input")
	f.BoolVar(&p.account, "account", false, "the arguments are accounts, whatever they look like")
	p.wait.d = waitUsual
	f.Var(&p.wait, "wait", "how long to wait at most until all hosts know, to 1m")
}

// waitUsual is how long is waited for the other hosts: longer than between two of
// their heartbeats.
const waitUsual = 15 * time.Second

// run makes the entries and says what became of them.
func (p *putting) run(c *cobra.Command, r *remote, args []string, names bool,
	put func(*client.Client, context.Context, api.PutRequest) (api.Changes, error), done, doneAccount string) error {
	in, err := p.request(c, args, names)
	if err != nil {
		return err
	}
	cl, err := r.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	out, err := put(cl, c.Context(), in)
	if err != nil {
		return unforced(named(err, in.Entries))
	}
	return showChanges(c, r, &out, func(ch *api.Change) string {
		verb := done
		if ch.Entry != nil && ch.Entry.Account != "" {
			verb = doneAccount
		}
		if ch.Entry != nil && ch.Entry.Until == nil {
			return verb + " permanently"
		}
		return verb + " until " + until(ch.Entry.Until)
	})
}

// request is what is asked for.
func (p *putting) request(c *cobra.Command, args []string, names bool) (in api.PutRequest, err error) {
	in = api.PutRequest{Force: p.force, Protect: ownAddress(), Wait: p.wait.d.Seconds()}
	usual := api.NewEntry{Reason: p.reason}
	if p.duration == "permanent" {
		usual.Permanent = true
	} else {
		d, err := configs.ParseDuration(p.duration)
		if err != nil || d < time.Second {
			return in, usageError{fmt.Errorf("--for %q is no time; allowed is one such as 90s, 2h or 30d, or permanent", p.duration)}
		}
		usual.Seconds = int64(d / time.Second)
	}
	switch {
	case p.observed && p.from == "":
		return in, usageError{errors.New("--observed goes with --from")}
	case p.from != "" && len(args) > 0:
		return in, usageError{errors.New("--from and arguments exclude each other")}
	case p.from != "":
		text, err := fileOf(p.from, c.InOrStdin())
		if err != nil {
			return in, err
		}
		var left int
		if in.Entries, left, err = imported(p.from, text, usual, names, p.observed); err == nil && left > 0 {
			fmt.Fprintf(c.ErrOrStderr(), "warning: %d bans that were only observed are left out (--observed)\n", left)
		}
		return in, err
	case len(args) == 0:
		return in, usageError{fmt.Errorf("%s needs to be told what, or --from a file", c.CommandPath())}
	}
	for _, arg := range args {
		t, err := targetOf(arg, p.account, names)
		if err != nil {
			return in, usageError{err}
		}
		e := usual
		e.Prefix, e.Account, e.Name = t.prefix, t.account, t.name
		in.Entries = append(in.Entries, e)
	}
	return in, nil
}

// ownAddress is the address from which the administrator is logged in, if he is
// by SSH.
func ownAddress() []string {
	if a := session(); a != "" {
		return []string{a}
	}
	return nil
}

// named puts what an entry is about before an error of its place in the request.
func named(err error, entries []api.NewEntry) error {
	var e *api.Error
	var i int
	if errors.As(err, &e) {
		if _, scan := fmt.Sscanf(e.Field, "entries[%d]", &i); scan == nil && i >= 0 && i < len(entries) {
			name := entries[i].Prefix + entries[i].Account + entries[i].Name
			told := &api.Error{Status: e.Status, Code: e.Code, Message: e.Message}
			if strings.HasPrefix(e.Message, name) {
				return told
			}
			if _, field, _ := strings.Cut(e.Field, "]."); field == "seconds" || field == "until" {
				told.Message = field + " " + told.Message
			}
			return fmt.Errorf("%s: %w", name, told)
		}
	}
	return err
}

// unforced adds what to do where something was not done for want of --force.
func unforced(err error) error {
	var e *api.Error
	if errors.As(err, &e) && e.Code == api.Unsafe {
		return fmt.Errorf("%w (--force)", err)
	}
	return err
}

// maxShown is how many changes are shown one by one.
const maxShown = 100

// showChanges says what was done and which hosts know of it.
func showChanges(c *cobra.Command, r *remote, out *api.Changes, done func(*api.Change) string) error {
	w := c.OutOrStdout()
	for _, warning := range out.Warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", warning)
	}
	missing, late := 0, 0
	for i := range out.Changes {
		if !out.Changes[i].Done {
			missing++
		}
	}
	for i := range out.Hosts {
		if a := &out.Hosts[i]; !a.Known || a.Firewall == "pending" {
			late++
		}
	}
	if shown, err := r.json(w, out); shown {
		if err != nil {
			return err
		}
	} else if err := writeChanges(w, out, done); err != nil {
		return err
	}
	switch {
	case missing > 0:
		return fmt.Errorf("%d of %d were not done", missing, len(out.Changes))
	case late > 0:
		return fmt.Errorf("%d of %d hosts have not acknowledged yet; they will: saslguard status", late, len(out.Hosts))
	}
	return nil
}

func writeChanges(w io.Writer, out *api.Changes, done func(*api.Change) string) error {
	for i := range out.Changes {
		ch := &out.Changes[i]
		if i == maxShown && ch.Done {
			fmt.Fprintf(w, "and %d more\n", len(out.Changes)-maxShown)
			break
		}
		text := ch.Note
		if ch.Done {
			text = done(ch)
			if ch.Note != "" {
				text += " (" + ch.Note + ")"
			}
		}
		fmt.Fprintf(w, "%s: %s\n", ch.Target, text)
	}
	for i := range out.Hosts {
		a := &out.Hosts[i]
		text := "not yet"
		if a.Known {
			text = "knows"
		}
		if a.Mode == "observe" {
			text += ", observes"
		}
		if a.Firewall != "" {
			text += ", firewall " + a.Firewall
		}
		if _, err := fmt.Fprintf(w, "  %s: %s\n", a.Host, text); err != nil {
			return err
		}
	}
	return nil
}
