package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
)

func newSetup() *cobra.Command {
	var s setup
	c := &cobra.Command{
		Use:   "setup [" + strings.Join(setupTargets(), "|") + "|NAME]",
		Short: "Print what belongs into the settings of Postfix, Dovecot and systemd",
		Long: `Prints what to add for the Postfix, Dovecot or systemd that is found here, with the
addresses of saslguard's own configuration; --version says another version. With the
NAME of a file it prints that as it is shipped; without, or with a folder (dovecot/),
it lists the files. Nothing on this machine is changed.

For Dovecot it makes up a nonce. All hosts need the same: give the others the first
one's by --nonce, or copy its file.

What was found, and the address of your own SSH session for the allowlist, is said on
standard error, so that the output can go into a file. With -o json everything is one
object: version (found or said; absent for a NAME), files (each with name, path, where
it usually goes, and text, which a list leaves out), notes (what text has on standard
error), and session (the address for the allowlist, absent if there is none).`,
		Example: `  saslguard setup
  saslguard setup postfix
  saslguard setup dovecot > /etc/dovecot/conf.d/90-saslguard.conf
  saslguard setup dovecot --version 2.4 --nonce 00112233445566778899aabbccddeeff
  saslguard setup grafana > saslguard-dashboard.json
  saslguard setup prometheus > /etc/prometheus/saslguard-alerts.yml
  saslguard setup systemd/saslguard.service > /etc/systemd/system/saslguard.service
  saslguard setup systemd -o json | jq -r '.files[].path'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("setup prints one file, not %d", len(args))}
			}
			return nil
		},
		ValidArgs: append(setupTargets(), configs.Snippets()...),
		RunE:      s.run,
	}
	s.settings.flags(c.Flags())
	c.Flags().StringVarP(&s.output, "output", "o", "text", "`format`: text or json")
	// It fails only for a flag that does not exist.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVar(&s.version, "version", "", "`version` of Postfix, Dovecot or systemd, instead of the one found here")
	c.Flags().StringVar(&s.nonce, "nonce", "", "Dovecot's `nonce` of the other hosts, instead of a new one")
	return c
}

// setup is the command and its flags.
type setup struct {
	settings               settings
	version, nonce, output string

	said setupAnswer
}

// firewallUnit is the file of the firewall agent.
const firewallUnit = "systemd/saslguard-firewall.service"

// setupTargets are the programs for which something is printed.
func setupTargets() []string {
	targets := []string{"postfix", "dovecot", "systemd"}
	if slices.Contains(configs.Snippets(), firewallUnit) {
		targets = append(targets, "firewall")
	}
	return targets
}

func (s *setup) run(c *cobra.Command, args []string) error {
	if s.output != "text" && s.output != "json" {
		return usageError{fmt.Errorf("--output %q is not known; allowed is text or json", s.output)}
	}
	list, err := s.prepare(c, args)
	if err != nil {
		return err
	}
	return s.answer(c, list)
}

// prepare finds what is to be printed: of a list only the names.
func (s *setup) prepare(c *cobra.Command, args []string) (list bool, err error) {
	if len(args) == 1 && slices.Contains(setupTargets(), args[0]) {
		return false, s.target(c, args[0])
	}
	for _, flag := range []string{"version", "nonce"} {
		if c.Flags().Changed(flag) {
			return false, usageError{fmt.Errorf("--%s goes with %s; files are printed as they are shipped", flag, strings.Join(setupTargets(), ", "))}
		}
	}
	names := configs.Snippets()
	if len(args) == 1 {
		names = configs.SnippetsBelow(args[0])
	} else {
		s.proposeSession()
	}
	if len(args) == 1 && len(names) == 1 && !strings.Contains(args[0], "/") {
		args[0], names = names[0], nil // grafana, prometheus: there is but one file
	}
	if len(names) > 0 {
		for _, name := range names {
			s.said.Files = append(s.said.Files, setupFile{Name: name, Path: pathOf(name)})
		}
		return true, nil
	}
	if err := s.add(args...); err != nil {
		return false, usageError{err}
	}
	return false, nil
}

// target finds what is to be added to one program.
func (s *setup) target(c *cobra.Command, name string) error {
	if s.nonce != "" && name != "dovecot" {
		return usageError{fmt.Errorf("--nonce is Dovecot's: it does not go with setup %s", name)}
	}
	conf, err := s.settings.load()
	if isUsage(err) {
		return err
	}
	if err != nil {
		conf = configs.Default()
		s.note("The configuration is wrong, so these are the default addresses:\n%v", err)
	}
	switch name {
	case "postfix":
		err = s.postfix(c, conf)
	case "dovecot":
		err = s.dovecot(c, conf)
	case "systemd":
		err = s.systemd(c)
	default:
		err = s.add(firewallUnit)
	}
	if err == nil {
		s.proposeSession()
	}
	return err
}
