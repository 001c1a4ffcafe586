package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newReport() *cobra.Command {
	var r remote
	var q api.ReportQuery
	since := ageFlag{24 * time.Hour}
	c := &cobra.Command{
		Use:   "report",
		Short: "Sum up what happened: failures, attacks, refusals and bans, by day",
		Long: `Sums up what the log of events has of all hosts: who failed, which accounts were
tried, clients that spray over many accounts, accounts that many clients try, and bans.
It says how far back the log reaches (events.keep and events.max in the configuration).
Accounts of attempts that were summed up are counted as one.`,
		Example: `  saslguard report
  saslguard report --since 7d --top 20
  saslguard report --since 1d -o json | mail -s saslguard root`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q.Age = since.seconds()
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			out, err := cl.Report(c.Context(), q)
			if err != nil {
				return err
			}
			if done, err := r.json(c.OutOrStdout(), &out); done {
				return err
			}
			return writeSummary(c.OutOrStdout(), &out)
		},
	}
	r.flags(c, "table", "json")
	c.Flags().Var(&since, "since", "how far back, such as 12h or 7d")
	c.Flags().IntVar(&q.Top, "top", 10, "how `many` of each list")
	return c
}

func writeSummary(w io.Writer, p *api.Report) error {
	whose := "the host " + p.Host
	if p.Shared {
		whose = "all hosts"
	}
	fmt.Fprintf(w, "saslguard, %s, %s to %s, mode %s\n", whose, when(p.From), when(p.To), p.Mode)
	if p.Since != nil {
		fmt.Fprintf(w, "The log reaches back to %s only.\n", when(*p.Since))
	}
	if p.Note != "" {
		fmt.Fprintln(w, p.Note)
	}
	fmt.Fprintln(w)
	days := [][]string{}
	for i := range p.Days {
		days = append(days, dayRow(p.Days[i].Date, &p.Days[i].Tally))
	}
	days = append(days, dayRow("total", &p.Total))
	if err := table(w, []string{"DAY (UTC)", "FAILED", "REFUSED", "DELAYED", "WOULD BE REFUSED", "WOULD BE DELAYED", "BANNED", "SUCCEEDED"}, days); err != nil {
		return err
	}
	for _, list := range []struct {
		title string
		all   []api.ClientTally
	}{{"Failures by client", p.Clients}, {"Clients that tried five accounts or more (spray)", p.Spray}} {
		if err := writeClients(w, list.title, list.all); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		title string
		all   []api.AccountTally
	}{{"Failures by account", p.Accounts}, {"Accounts that five clients or more tried (distributed attack)", p.Distributed}} {
		if err := writeAccounts(w, list.title, list.all); err != nil {
			return err
		}
	}
	if len(p.Bans) == 0 {
		return nil
	}
	fmt.Fprint(w, "\nBans made and lifted, the latest\n")
	var rows [][]string
	for i := range p.Bans {
		e := &p.Bans[i]
		rows = append(rows, []string{"  " + when(e.At), dash(e.Client + e.Account), eventText(e), dash(e.By), dash(e.Rule), dash(e.Reason)})
	}
	return table(w, []string{"  TIME", "WHAT", "", "BY", "RULE", "REASON"}, rows)
}

func dayRow(name string, t *api.Tally) []string {
	row := []string{name}
	for _, n := range []int{t.Failed, t.Refused, t.Delayed, t.WouldRefuse, t.WouldDelay, t.Banned, t.Succeeded} {
		row = append(row, fmt.Sprint(n))
	}
	return row
}

func writeClients(w io.Writer, title string, all []api.ClientTally) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s\n", title)
	var rows [][]string
	for _, t := range all {
		rows = append(rows, []string{"  " + t.Client, fmt.Sprint(t.Failed), fmt.Sprint(t.Refused), fmt.Sprint(t.Accounts), when(t.Last), dash(t.From)})
	}
	return table(w, []string{"  CLIENT", "FAILED", "REFUSED", "ACCOUNTS", "LAST", "FROM"}, rows)
}

func writeAccounts(w io.Writer, title string, all []api.AccountTally) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s\n", title)
	var rows [][]string
	for _, t := range all {
		rows = append(rows, []string{"  " + t.Account, fmt.Sprint(t.Failed), fmt.Sprint(t.Refused), fmt.Sprint(t.Clients), when(t.Last)})
	}
	return table(w, []string{"  ACCOUNT", "FAILED", "REFUSED", "CLIENTS", "LAST"}, rows)
}
