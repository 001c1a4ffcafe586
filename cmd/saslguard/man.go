package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan is for who makes packages, and so not in the list of commands.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages of all commands into a directory",
		Long: `Writes a manual page of each command into a directory, which is made if need be.
They are dated as the commit that was built.`,
		Example: `  saslguard man /usr/local/share/man/man1`,
		Hidden:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one directory", c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := c.Root()
			root.DisableAutoGenTag = true
			h := &doc.GenManHeader{Source: "saslguard " + version, Manual: "saslguard"}
			if _, d := source(); d != "" {
				at, err := time.Parse(time.RFC3339, d)
				if err != nil {
					return fmt.Errorf("the date of this build: %w", err)
				}
				h.Date = &at
			}
			return doc.GenManTree(root, h, args[0])
		},
	}
}
