package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newForget() *cobra.Command {
	var r remote
	var reason string
	c := &cobra.Command{
		Use:   "forget ACCOUNT",
		Short: "Forget what is known of an account",
		Long: `Drops the account's score, its familiar networks and its right passwords, on all
hosts: after a password has leaked, the networks from which a thief has logged in are
strangers again. A block of the account stays; 'saslguard unban' lifts that.`,
		Example: `  saslguard forget alice@example.org --reason "password has leaked"`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("forget takes one account, not %d", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Forget(c.Context(), api.ForgetRequest{Account: args[0], Reason: reason})
			if err != nil {
				return err
			}
			if done, err := r.json(c.OutOrStdout(), &out); done {
				return err
			}
			if out.Note != "" {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", out.Note)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: forgotten, with %d familiar networks\n", out.Account, out.Pairs)
			return err
		},
	}
	r.flags(c, "table", "json")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}
