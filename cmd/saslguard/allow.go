package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
)

func newAllow() *cobra.Command {
	c := &cobra.Command{
		Use:   "allow",
		Short: "List and change the allowlist of all hosts",
		Long: `Clients on the allowlist are not delayed, refused or banned for their own score,
accounts not for theirs. What is in rules.allow_clients and rules.allow_accounts of a
host's configuration comes in addition, and is not listed here.`,
		Example: `  saslguard allow list
  saslguard allow add 203.0.113.0/28 --reason "the office"
  saslguard allow add home.example.org
  saslguard allow remove 203.0.113.0/28`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAllowList(), newAllowAdd(), newAllowRemove())
	return c
}

func newAllowList() *cobra.Command {
	var r remote
	var l listing
	c := &cobra.Command{
		Use:   "list",
		Short: "List the allowlist",
		Long: `Lists what operators have put on the allowlist, and the addresses that host names
on it stand for now; their rule is "name" with the host name.`,
		Example: `  saslguard allow list
  saslguard allow list --containing 203.0.113.5
  saslguard allow list -o json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Allowed(c.Context(), l.query())
			if err != nil {
				return err
			}
			return writeEntries(c.OutOrStdout(), &r, &out, "entries")
		},
	}
	r.flags(c, "table", "json", "raw")
	l.flags(c)
	return c
}

func newAllowAdd() *cobra.Command {
	var r remote
	var p putting
	c := &cobra.Command{
		Use:   "add PREFIX|ACCOUNT|HOST…",
		Short: "Put networks, accounts or host names on the allowlist",
		Long: `Puts addresses, prefixes, accounts and host names on the allowlist of all hosts, at
once. A word with dots and without @ is a host name (--account: an account). Host
names are resolved every minute, by every host, for people whose address changes; an
address that a name no longer has ends within 15 minutes. Whoever can change the name
in the DNS can let himself in. You are told which automatic bans it cancels, and which
operators' bans come before it.`,
		Example: `  saslguard allow add 203.0.113.0/28 --reason "the office"
  saslguard allow add 2001:db8:1:2::/64 --for 30d
  saslguard allow add home.example.org --reason "alice, dynamic DNS"
  saslguard allow add alice@example.org --for 1d`,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c, &r, args, true, (*client.Client).Allow, "allowed", "allowed")
		},
	}
	r.flags(c, "table", "json")
	p.flags(c, "permanent", "entry")
	return c
}

func newAllowRemove() *cobra.Command {
	var r remote
	var account bool
	var reason string
	wait := ageFlag{waitUsual}
	c := &cobra.Command{
		Use:   "remove PREFIX|ACCOUNT|HOST…",
		Short: "Take entries off the allowlist",
		Long: `Takes exactly these entries off the allowlist of all hosts; with a host name the
addresses that it stands for. Exit code 1 if one was not on it.`,
		Example: `  saslguard allow remove 203.0.113.0/28
  saslguard allow remove home.example.org`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("allow remove needs to be told what")}
			}
			in := api.RemoveRequest{Reason: reason, Wait: wait.d.Seconds()}
			for _, arg := range args {
				t, err := targetOf(arg, account, true)
				if err != nil {
					return usageError{err}
				}
				in.Targets = append(in.Targets, api.Target{Prefix: t.prefix, Account: t.account, Name: t.name})
			}
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Disallow(c.Context(), in)
			if err != nil {
				return err
			}
			return showChanges(c, &r, &out, func(*api.Change) string { return "taken off the allowlist" })
		},
		ValidArgsFunction: completeEntries(&r, (*client.Client).Allowed),
	}
	r.flags(c, "table", "json")
	f := c.Flags()
	f.BoolVar(&account, "account", false, "the arguments are accounts, whatever they look like")
	f.StringVar(&reason, "reason", "", "why, for the audit log")
	f.Var(&wait, "wait", "how long to wait at most until all hosts know, to 1m")
	return c
}

const (
	completeTime = 2 * time.Second // nobody waits longer for a completion
	completeMax  = 500
)

// completeEntries completes arguments with entries that there are.
func completeEntries(r *remote, list func(*client.Client, context.Context, api.BansQuery) (api.Entries, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completeTime)
		defer cancel()
		cl, err := r.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer cl.Close()
		out, err := list(cl, ctx, api.BansQuery{Limit: completeMax})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for i := range out.Entries {
			words = append(words, entryName(&out.Entries[i]))
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
