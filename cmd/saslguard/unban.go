package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
)

func newUnban() *cobra.Command {
	var r remote
	var all, keep, account bool
	var reason string
	wait := ageFlag{waitUsual}
	c := &cobra.Command{
		Use:   "unban PREFIX|ACCOUNT… | --all",
		Short: "Lift bans, and forget the score behind them, on all hosts",
		Long: `Lifts the bans of exactly these prefixes and accounts, saslguard's own and
operators'. One that is not banned itself, but within a wider ban or around narrower
ones, is left as it is: you are told which those are, and the exit code is 1.

With the ban its count is forgotten, so that the next one is a first one again, and
the client's score, unless --keep-score. Waits until every host says that it knows,
and, where a firewall agent runs, that it enforces; exit code 1 if one does not in time.`,
		Example: `  saslguard unban 192.0.2.7
  saslguard unban 2001:db8:1:2::/64 --reason "customer called"
  saslguard unban alice@example.org
  saslguard unban --all --wait 30s`,
		RunE: func(c *cobra.Command, args []string) error {
			in := api.RemoveRequest{All: all, KeepScore: keep, Reason: reason, Wait: wait.d.Seconds()}
			if all == (len(args) > 0) {
				return usageError{errors.New("unban needs prefixes or accounts, or --all, and not both")}
			}
			for _, arg := range args {
				t, err := targetOf(arg, account, false)
				if err != nil {
					return usageError{err}
				}
				in.Targets = append(in.Targets, api.Target{Prefix: t.prefix, Account: t.account})
			}
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Unban(c.Context(), in)
			if err != nil {
				return err
			}
			return showChanges(c, &r, &out, func(*api.Change) string { return "unbanned" })
		},
		ValidArgsFunction: completeEntries(&r, (*client.Client).Bans),
	}
	r.flags(c, "table", "json")
	f := c.Flags()
	f.BoolVar(&all, "all", false, "every ban there is")
	f.BoolVar(&keep, "keep-score", false, "keep the score: one more wrong password may ban again")
	f.BoolVar(&account, "account", false, "the arguments are accounts, whatever they look like")
	f.StringVar(&reason, "reason", "", "why, for the audit log")
	f.Var(&wait, "wait", "how long to wait at most until all hosts know, to 1m")
	return c
}
