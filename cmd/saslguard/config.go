package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
		Example: `  saslguard config check
  saslguard config check ./saslguard.yaml
  saslguard config show
  saslguard config defaults`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigCheck(), newConfigShow(), newConfigDefaults())
	return c
}

func newConfigCheck() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether the configuration is right, and where it is not",
		Long: `Reads FILE (or --config, or ` + configs.DefaultFile + `) with conf.d beside it, the
environment and the flags, as serve does, and lists everything that is wrong
with file, line, key and what is allowed, or which of them are right. Certificates,
keys and owners of sockets are looked up: run it as the user that serve runs as.
Exit code 0 if nothing is wrong, else 78.`,
		Example: `  saslguard config check
  saslguard config check ./saslguard.yaml
  saslguard config check --set rules.client.ban=25`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("config check takes one file, not %d", len(args))}
			}
			if len(args) == 1 {
				if err := (&fileFlag{&s.file}).Set(args[0]); err != nil {
					return usageError{fmt.Errorf("config check: %w", err)}
				}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := s.load()
			if err != nil {
				return err
			}
			for _, w := range conf.Warnings() {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "the configuration is right (%s)\n", conf.Sources())
			return err
		},
	}
	s.flags(c.Flags())
	return c
}

func newConfigShow() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the configuration in force, and where each value came from",
		Long: `Shows every setting as serve would use it, as YAML. A comment says where a value
came from that is not a default. Secrets are hidden.`,
		Example: `  saslguard config show
  SASLGUARD_MODE=enforce saslguard config show --config ./saslguard.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := s.load()
			if err != nil {
				return err
			}
			return conf.Effective(c.OutOrStdout())
		},
	}
	s.flags(c.Flags())
	return c
}

func newConfigDefaults() *cobra.Command {
	return &cobra.Command{
		Use:   "defaults",
		Short: "Print the commented saslguard.yaml with all defaults",
		Example: `  install -d /etc/saslguard
  saslguard config defaults > /etc/saslguard/saslguard.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(configs.Defaults())
			return err
		},
	}
}
