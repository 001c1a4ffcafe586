package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newBans() *cobra.Command {
	var r remote
	var l listing
	var observed bool
	c := &cobra.Command{
		Use:   "bans",
		Short: "List bans and blocked accounts",
		Long: `Lists the bans in force on all hosts: those that saslguard made, and operators'.
What is marked observed refuses nobody. -o raw is one prefix or account a line,
which 'saslguard ban --from' takes; it takes -o json as well, with times and reasons.
-o raw cannot mark what was only observed: it leaves that out and says so, unless
--observed is given.`,
		Example: `  saslguard bans
  saslguard bans --within 192.0.2.0/24
  saslguard bans --containing 2001:db8::1
  saslguard bans --kind operator-ban -o raw > bans.txt
  saslguard bans --rule trap-account --age 1d --sort times`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Bans(c.Context(), l.query())
			if err != nil {
				return err
			}
			if r.output == "raw" && !observed {
				leaveObserved(c, &out)
			}
			return writeEntries(c.OutOrStdout(), &r, &out, "bans")
		},
	}
	r.flags(c, "table", "json", "raw")
	l.flags(c)
	c.Flags().BoolVar(&observed, "observed", false, "with -o raw, also bans that are only observed")
	c.Flags().StringVar(&l.q.Kind, "kind", "", "only of this `kind`: operator-ban or automatic-ban")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"operator-ban", "automatic-ban"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// leaveObserved leaves out bans that refuse nobody: in a list of names they would be
// like all others.
func leaveObserved(c *cobra.Command, out *api.Entries) {
	n := len(out.Entries)
	out.Entries = slices.DeleteFunc(out.Entries, func(e api.Entry) bool { return e.Observed })
	if left := n - len(out.Entries); left > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %d bans that are only observed are left out (--observed)\n", left)
	}
	if more := out.Total - n; more > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %d more bans are not listed (--limit)\n", more)
	}
}

// listing is the flags of commands that list entries.
type listing struct {
	q   api.BansQuery
	age ageFlag
}

func (l *listing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.q.Within, "within", "", "only inside of this `prefix`")
	f.StringVar(&l.q.Containing, "containing", "", "only what covers this `address` or prefix")
	f.StringVar(&l.q.Account, "account", "", "only of this `account`")
	f.StringVar(&l.q.Rule, "rule", "", "only made by this `rule`, such as client-score")
	f.StringVar(&l.q.By, "by", "", "only made by this `host` or operator")
	f.Var(&l.age, "age", "only made at most so long ago, such as 2h or 7d")
	f.StringVar(&l.q.Sort, "sort", "since", "`order`: since (latest first), until, prefix or times")
	f.IntVar(&l.q.Limit, "limit", 1000, "list at most so `many`")
	_ = c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions([]string{"since", "until", "prefix", "times"}, cobra.ShellCompDirectiveNoFileComp))
}

func (l *listing) query() api.BansQuery {
	q := l.q
	q.Age = l.age.seconds()
	return q
}

// writeEntries writes a list of entries.
func writeEntries(w io.Writer, r *remote, out *api.Entries, what string) error {
	if done, err := r.json(w, out); done {
		return err
	}
	var rows [][]string
	for i := range out.Entries {
		e := &out.Entries[i]
		if r.output == "raw" {
			if _, err := fmt.Fprintln(w, entryName(e)); err != nil {
				return err
			}
			continue
		}
		kind := string(e.Kind)
		if e.Observed {
			kind += " (observed)"
		}
		rows = append(rows, []string{entryName(e), kind, when(e.Since), until(e.Until), fmt.Sprint(max(e.Times, 1)), dash(e.By), dash(e.Rule), dash(e.Reason), dash(e.From)})
	}
	if r.output == "raw" {
		return nil
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(w, "no %s\n", what)
		return err
	}
	if err := table(w, []string{"WHAT", "KIND", "SINCE", "UNTIL", "TIMES", "BY", "RULE", "REASON", "FROM"}, rows); err != nil {
		return err
	}
	for i := range out.Entries {
		if e := &out.Entries[i]; e.Unresolved != "" {
			fmt.Fprintf(w, "%s cannot be resolved here: %s\n", e.Name, e.Unresolved)
		}
	}
	if n := out.Total - len(out.Entries); n > 0 {
		if _, err := fmt.Fprintf(w, "and %d more (--limit)\n", n); err != nil {
			return err
		}
	}
	return nil
}

// entryName is what an entry is about.
func entryName(e *api.Entry) string {
	switch {
	case e.Prefix != "":
		return e.Prefix
	case e.Name != "":
		return e.Name
	}
	return e.Account
}
