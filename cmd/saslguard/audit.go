package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newAudit() *cobra.Command {
	var r remote
	var q api.AuditQuery
	c := &cobra.Command{
		Use:   "audit",
		Short: "List who changed what, and why",
		Long: `Lists the latest changes that operators have made: bans, unbans, the allowlist,
forgotten accounts, and those that were refused: 1000 at most, of 400 days, over
restarts. With Redis they are those of all hosts. The log has them all, under "audit".`,
		Example: `  saslguard audit
  saslguard audit --limit 1000 -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Audit(c.Context(), q)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if done, err := r.json(w, &out); done {
				return err
			}
			var rows [][]string
			for _, a := range out.Changes {
				targets := strings.Join(a.Targets[:min(len(a.Targets), 3)], " ")
				if more := a.Count - 3; more > 0 {
					targets += fmt.Sprintf(" and %d more", more)
				}
				rows = append(rows, []string{when(a.At), a.Host, a.Who, a.Action, targets, dash(a.Reason), a.Result})
			}
			if err := table(w, []string{"TIME", "HOST", "WHO", "ACTION", "WHAT", "REASON", "RESULT"}, rows); err != nil {
				return err
			}
			if out.Note != "" {
				_, err = fmt.Fprintln(w, out.Note)
			}
			return err
		},
	}
	r.flags(c, "table", "json")
	c.Flags().IntVar(&q.Limit, "limit", 100, "list at most so `many`")
	return c
}
