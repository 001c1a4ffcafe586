package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
)

func newSetup() *cobra.Command {
	return &cobra.Command{
		Use:   "setup [NAME]",
		Short: "Print what belongs into the settings of Postfix, Dovecot and systemd",
		Long: `Prints a file that is ready to be copied. Without a name, or with that of a
folder, it lists the files. Nothing on this machine is changed.`,
		Example: `  saslguard setup
  saslguard setup postfix/master.cf
  saslguard setup dovecot
  saslguard setup dovecot/2.3/90-saslguard.conf > /etc/dovecot/conf.d/90-saslguard.conf`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("setup prints one file, not %d", len(args))}
			}
			return nil
		},
		ValidArgs: configs.Snippets(),
		RunE: func(c *cobra.Command, args []string) error {
			names := configs.Snippets()
			if len(args) == 1 {
				names = configs.SnippetsBelow(args[0])
			}
			if len(names) > 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), strings.Join(names, "\n"))
				return err
			}
			text, err := configs.Snippet(args[0])
			if err != nil {
				return usageError{err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
}
