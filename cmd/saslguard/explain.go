package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/api"
)

func newExplain() *cobra.Command {
	var r remote
	var q api.ExplainQuery
	var account bool
	c := &cobra.Command{
		Use:   "explain ADDRESS|ACCOUNT [ACCOUNT]",
		Short: "Say why a client or an account is treated as it is",
		Long: `Says in words and figures what the next attempt would meet and why: bans and the
allowlist, the scores of client, network and account and what each rule has added,
whether the account is familiar there, on which hosts the firewall holds the client,
and the latest attempts on all hosts. With an address and an account it is about that
account from there. To ask changes nothing.`,
		Example: `  saslguard explain 192.0.2.7
  saslguard explain alice@example.org
  saslguard explain 192.0.2.7 alice@example.org
  saslguard explain 2001:db8::1 --events 100 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{fmt.Errorf("explain takes an address, an account, or both, not %d arguments", len(args))}
			}
			for i, arg := range args {
				t, err := targetOf(arg, account || i == 1, false)
				switch {
				case err != nil:
					return usageError{err}
				case t.prefix != "":
					q.Address = t.prefix
				case q.Account != "":
					return usageError{fmt.Errorf("%q and %q are both accounts; allowed is one", q.Account, arg)}
				default:
					q.Account = arg
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := r.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			x, err := cl.Explain(c.Context(), q)
			if err != nil {
				return err
			}
			if done, err := r.json(c.OutOrStdout(), &x); done {
				return err
			}
			return writeExplanation(c.OutOrStdout(), &x)
		},
	}
	r.flags(c, "table", "json")
	c.Flags().IntVar(&q.Limit, "events", 20, "show at most so `many` events")
	c.Flags().BoolVar(&account, "account", false, "the argument is an account, whatever it looks like")
	return c
}

func writeExplanation(w io.Writer, x *api.Explanation) error {
	fmt.Fprintln(w, subjectLine(x))
	if x.From != "" {
		fmt.Fprintf(w, "From: %s\n", x.From)
	}
	fmt.Fprintf(w, "Next attempt: %s\n", nextText(x))
	for i := range x.Entries {
		fmt.Fprintf(w, "%s\n", entryText(&x.Entries[i]))
	}
	if x.Configured {
		fmt.Fprintln(w, "On the allowlist of the configuration (rules.allow_clients).")
	}
	switch {
	case x.Familiar:
		fmt.Fprintf(w, "The account is familiar in %s: it has logged in from there.\n", x.Network)
	case x.Account != "" && x.Address != "":
		fmt.Fprintf(w, "The account is not familiar in %s.\n", x.Network)
	}
	if x.Address != "" {
		fmt.Fprintf(w, "Accounts familiar in its network: %d.\n", x.FamiliarAccounts)
	}
	for _, f := range x.Firewalls {
		held := "does not hold it"
		if f.Held {
			held = "holds it"
		}
		fmt.Fprintf(w, "The firewall of %s (%s) %s.\n", f.Host, f.State, held)
	}
	if x.Known != "" {
		fmt.Fprintln(w, x.Known)
	}
	if err := writeSubjects(w, x); err != nil {
		return err
	}
	return writeHistory(w, &x.Events)
}

func subjectLine(x *api.Explanation) string {
	var parts []string
	if x.Address != "" {
		text := x.Address
		if x.Client != "" && !strings.HasPrefix(x.Client, x.Address+"/") {
			text += ", of the client " + x.Client
		}
		parts = append(parts, text+", network "+x.Network)
	}
	if x.Account != "" {
		parts = append(parts, "account "+x.Account)
	}
	return strings.Join(parts, ", ")
}

// nextText is what the next attempt would meet.
func nextText(x *api.Explanation) string {
	does := map[string]string{"pass": "passes", "tarpit": "is delayed", "refuse": "is refused"}[x.Next.Would]
	if x.Next.Would == "tarpit" {
		does += fmt.Sprintf(" by %gs", x.Next.Delay)
	}
	if x.Next.Action != x.Next.Would {
		does = "passes, because " + x.Host + " observes; else it " + does
	}
	if x.Next.Rule != "" {
		does += " (" + x.Next.Rule + ")"
	}
	return does + ": " + x.Next.Reason
}

// entryText is a ban or an entry of the allowlist in words.
func entryText(e *api.Entry) string {
	what := map[api.Kind]string{api.OperatorBan: "Banned by an operator", api.AutomaticBan: "Banned", api.Allow: "On the allowlist"}[e.Kind]
	if e.Observed {
		what += " (only observed)"
	}
	text := fmt.Sprintf("%s: %s by %s since %s, until %s", what, entryName(e), e.By, when(e.Since), until(e.Until))
	if e.Kind == api.AutomaticBan && e.Times > 0 {
		text += fmt.Sprintf("; ban number %d", e.Times)
	}
	if e.Rule != "" {
		text += "; rule " + e.Rule
	}
	if e.Reason != "" {
		text += "; " + e.Reason
	}
	return text
}

func writeSubjects(w io.Writer, x *api.Explanation) error {
	tier := func(f float64) string {
		if f == 0 {
			return "off"
		}
		return fmt.Sprintf("%g", f)
	}
	var rows [][]string
	for _, s := range x.Subjects {
		rows = append(rows, []string{
			s.Kind, s.Name, fmt.Sprintf("%.1f", s.Points), tier(s.Tarpit), tier(s.Refuse), tier(s.Ban), fmt.Sprint(s.Distinct),
		})
	}
	fmt.Fprintln(w)
	if err := table(w, []string{"SCORE OF", "", "POINTS", "DELAYED FROM", "REFUSED FROM", "BANNED AT", "DISTINCT"}, rows); err != nil {
		return err
	}
	if len(x.Contributions) == 0 {
		return nil
	}
	rows = nil
	for _, p := range x.Contributions {
		rows = append(rows, []string{p.Rule, fmt.Sprintf("%.1f", p.Earned), fmt.Sprintf("%.1f", p.Now), fmt.Sprintf("%d: %s", p.Count, p.Text)})
	}
	added := "ADDED"
	if x.Address == "" {
		added = "ADDED TO ITS CLIENTS" // what the account's own score is made of is not told apart
	}
	fmt.Fprintln(w)
	return table(w, []string{"RULE", added, "LEFT OF IT", "ATTEMPTS"}, rows)
}

// writeHistory writes events, and how far back they reach.
func writeHistory(w io.Writer, h *api.History) error {
	fmt.Fprintln(w)
	if len(h.Events) > 0 {
		var rows [][]string
		for i := range h.Events {
			rows = append(rows, eventRow(&h.Events[i]))
		}
		if err := table(w, eventHead(), rows); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w, "No events.")
	}
	return writeReach(w, h)
}

func writeReach(w io.Writer, h *api.History) error {
	if h.More {
		fmt.Fprintln(w, "There were more before (--events).")
	}
	if h.Note != "" {
		fmt.Fprintln(w, h.Note)
	}
	if h.Since == nil {
		return nil
	}
	whose := "this host's"
	if h.Shared {
		whose = "all hosts'"
	}
	_, err := fmt.Fprintf(w, "The log has %s events since %s.\n", whose, when(*h.Since))
	return err
}

func eventHead() []string {
	return []string{"TIME", "HOST", "SERVICE", "CLIENT", "ACCOUNT", "WHAT", "WHY"}
}

// eventRow is an event as a row of a table.
func eventRow(e *api.Event) []string {
	service := e.Service
	if service == "" {
		service = e.Via
	}
	client := e.Address
	if client == "" {
		client = e.Client
	}
	return []string{when(e.At), e.Host, dash(service), dash(client), dash(e.Account), eventText(e), dash(eventWhy(e))}
}

// eventText says what happened.
func eventText(e *api.Event) string {
	text := string(e.Kind)
	switch e.Kind {
	case "attempt":
		text = map[string]string{"failure": "wrong password", "unknown-account": "no such account", "success": "logged in"}[e.Outcome]
		if text == "" {
			text = e.Outcome
		}
		if e.Added > 0 {
			text += fmt.Sprintf(" +%.1f", e.Added)
		}
	case "verdict":
		text = map[string]string{"refuse": "refused", "tarpit": "delayed", "pass": "passed"}[e.Action]
		if e.Would != "" {
			text = map[string]string{"refuse": "would be refused", "tarpit": "would be delayed"}[e.Would]
		}
	case "ban":
		text = "banned until " + until(e.Until)
		if e.Observed {
			text = "would be " + text
		}
	case "unban":
		text = "unbanned"
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	return text
}

// eventWhy says why.
func eventWhy(e *api.Event) string {
	switch {
	case e.Kind == "attempt" && e.Points > 0:
		return fmt.Sprintf("client has %.1f points", e.Points)
	case e.Kind == "attempt":
		return ""
	case e.By != "" && e.Reason != "":
		return e.By + ": " + e.Reason
	case e.By != "":
		return e.By
	}
	return e.Reason
}
