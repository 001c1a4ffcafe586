package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

// briefBans is how many bans the familiar list shows.
const briefBans = 1000

func newStatus() *cobra.Command {
	var r remote
	var brief bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how saslguard does, on this host and the others",
		Long: `Shows the mode, the health of each part, the hosts of the cluster with what they
know and what their firewalls enforce, what this host has counted since it
started, and how many bans there are. With --brief it is the tree that fail2ban
prints; there "currently failed" are clients that have failed within a half-life.
Exit code 1 if saslguard does not answer or a part of it is failing.`,
		Example: `  saslguard status
  saslguard status --brief
  saslguard status -o json | jq .hosts`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			s, err := cl.Status(c.Context())
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if done, err := r.json(w, &s); err != nil {
				return err
			} else if done {
				return failing(&s)
			}
			if brief {
				bans, err := cl.Bans(c.Context(), api.BansQuery{Sort: "prefix", Limit: briefBans})
				if err == nil {
					err = writeBrief(w, &s, &bans)
				}
				return errors.Join(err, failing(&s))
			}
			return errors.Join(writeStatus(w, &s), failing(&s))
		},
	}
	r.flags(c, "table", "json")
	c.Flags().BoolVar(&brief, "brief", false, "the tree that fail2ban prints")
	return c
}

// failing is the error of a saslguard that does not do its work.
func failing(s *api.Status) error {
	if s.State != "failing" {
		return nil
	}
	var parts []string
	for _, p := range s.Parts {
		if p.State == s.State {
			parts = append(parts, p.Name)
		}
	}
	return fmt.Errorf("saslguard is failing: %s", strings.Join(parts, ", "))
}

func writeStatus(w io.Writer, s *api.Status) error {
	note := ""
	if s.Mode == "observe" {
		note = " (nobody is refused or delayed)"
	}
	fmt.Fprintf(w, "%s: %s, mode %s%s, version %s, since %s\n\n", s.Host, s.State, s.Mode, note, s.Version, when(s.Started))
	var parts [][]string
	for _, p := range s.Parts {
		parts = append(parts, []string{p.Name, p.State, p.Detail})
	}
	if err := table(w, []string{"PART", "STATE", "DETAIL"}, parts); err != nil {
		return err
	}
	var hosts [][]string
	for _, h := range s.Hosts {
		hosts = append(hosts, []string{h.Name, dash(h.Mode), dash(h.Version), when(h.Heard), lagText(&h), firewallText(h.Firewall)})
	}
	fmt.Fprintln(w)
	if err := table(w, []string{"HOST", "MODE", "VERSION", "HEARD", "BANS", "FIREWALL"}, hosts); err != nil {
		return err
	}
	if s.Note != "" {
		fmt.Fprintln(w, s.Note)
	}
	if len(s.UnresolvedNames) > 0 {
		fmt.Fprintf(w, "Names of the allowlist that cannot be resolved here: %s (saslguard allow list says why)\n", strings.Join(s.UnresolvedNames, ", "))
	}
	f, b := &s.Figures, &s.Bans
	paused := ""
	if f.Paused {
		paused = " Automatic bans pause: the password database seems broken."
	}
	_, err := fmt.Fprintf(w, `
Attempts here   %d failed, %d succeeded, %d refused, %d delayed
Not carried out %d refusals, %d delays: observed only, or as many are delayed as may be
Delayed now     %d for Postfix, %d for Dovecot
Bans in force   %d automatic, %d by operators, %d accounts blocked; %d only observed; %d allowed
Made here       %d automatic bans.%s
`, f.Failed, f.Attempts["success"], f.Refused, f.Delayed, f.WouldRefuse, f.WouldDelay, f.HeldPostfix, f.HeldDovecot,
		b.Automatic, b.Operator, b.Accounts, b.Observed, b.Allowed, f.Banned, paused)
	return err
}

// lagText says whether a host knows all bans.
func lagText(h *api.Host) string {
	switch {
	case h.Version == "":
		return "-"
	case h.Lag == 0:
		return "in step"
	}
	return fmt.Sprintf("behind for %s", (time.Duration(h.Lag * float64(time.Second))).Round(100*time.Millisecond))
}

func firewallText(a *api.Agent) string {
	if a == nil {
		return "none"
	}
	text := fmt.Sprintf("%s %s, %d bans", a.Backend, a.State, a.Bans)
	if a.Error != "" {
		text += ": " + a.Error
	}
	return text
}

// writeBrief writes the tree that fail2ban-client status prints.
func writeBrief(w io.Writer, s *api.Status, bans *api.Entries) error {
	var list []string
	for _, e := range bans.Entries {
		if e.Observed || e.Prefix == "" {
			continue
		}
		list = append(list, strings.TrimSuffix(strings.TrimSuffix(e.Prefix, "/32"), "/128"))
	}
	more := ""
	if n := bans.Total - len(bans.Entries); n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	_, err := fmt.Fprintf(w, `Status for the jail: saslguard
|- Filter
|  |- Currently failed: %d
|  |- Total failed:     %d
`+"`"+`- Actions
   |- Currently banned: %d
   |- Total banned:     %d
   `+"`"+`- Banned IP list:   %s%s
`, s.Recent.Clients, s.Figures.Failed, s.Bans.Automatic+s.Bans.Operator, max(s.Figures.Banned, int64(s.Bans.Automatic+s.Bans.Operator)), strings.Join(list, " "), more)
	return err
}
