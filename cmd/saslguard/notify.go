package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/notify"
)

func newNotify() *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Test the notifications",
		Long: `What is told, and to whom, is set in the section notify of the configuration:
see 'saslguard config defaults'.`,
		Example: `  saslguard notify test`,
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newNotifyTest())
	return c
}

func newNotifyTest() *cobra.Command {
	var s settings
	var output string
	c := &cobra.Command{
		Use:   "test",
		Short: "Send a test message to every receiver",
		Long: `Sends a message to every receiver of the configuration, once, and says what each
answered. The saslguard that serves has no part in it, so this works before it
runs, and with a configuration that it has not loaded yet.

Exit code 0 if all receivers took it, else 1.`,
		Example: `  saslguard notify test
  saslguard notify test -o json
  saslguard notify test --config ./saslguard.yaml
  SASLGUARD_NOTIFY_URLS=ntfy://ntfy.sh/my-topic saslguard notify test`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("--output %q is not known; allowed is table or json", output)}
			}
			conf, err := s.load()
			if err != nil {
				return err
			}
			host := conf.Host
			if host == "" {
				if host, err = os.Hostname(); err != nil {
					host = "localhost"
				}
			}
			results, err := notify.Try(c.Context(), conf.Notify, host)
			if err != nil {
				return err
			}
			if len(results) == 0 {
				return errors.New("there is no receiver: set notify.urls, notify.urls_file or notify.webhook")
			}
			if err := writeResults(c.OutOrStdout(), results, output); err != nil {
				return err
			}
			for _, r := range results {
				if !r.OK {
					return errors.New("not all receivers took the message")
				}
			}
			return nil
		},
	}
	s.flags(c.Flags())
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	return c
}

func writeResults(w io.Writer, results []notify.Result, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(results)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECEIVER\tANSWER\tAFTER")
	for _, r := range results {
		answer := "taken"
		if !r.OK {
			answer = r.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Target, answer, r.Elapsed.Round(time.Millisecond))
	}
	return t.Flush()
}
