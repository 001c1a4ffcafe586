package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/doctor"
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
standard error, so that the output can go into a file.`,
		Example: `  saslguard setup
  saslguard setup postfix
  saslguard setup dovecot > /etc/dovecot/conf.d/90-saslguard.conf
  saslguard setup dovecot --version 2.4 --nonce 00112233445566778899aabbccddeeff
  saslguard setup grafana > saslguard-dashboard.json
  saslguard setup prometheus > /etc/prometheus/saslguard-alerts.yml
  saslguard setup systemd/saslguard.service > /etc/systemd/system/saslguard.service`,
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
	c.Flags().StringVar(&s.version, "version", "", "`version` of Postfix, Dovecot or systemd, instead of the one found here")
	c.Flags().StringVar(&s.nonce, "nonce", "", "Dovecot's `nonce` of the other hosts, instead of a new one")
	return c
}

// setup is the command and its flags.
type setup struct {
	settings       settings
	version, nonce string
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
	if len(args) == 1 && slices.Contains(setupTargets(), args[0]) {
		return s.target(c, args[0])
	}
	for _, flag := range []string{"version", "nonce"} {
		if c.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--%s goes with %s; files are printed as they are shipped", flag, strings.Join(setupTargets(), ", "))}
		}
	}
	names := configs.Snippets()
	if len(args) == 1 {
		names = configs.SnippetsBelow(args[0])
	} else {
		proposeSession(c)
	}
	if len(args) == 1 && len(names) == 1 && !strings.Contains(args[0], "/") {
		args[0], names = names[0], nil // grafana, prometheus: there is but one file
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
}

// target prints what is to be added to one program.
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
		fmt.Fprintf(c.ErrOrStderr(), "The configuration is wrong, so these are the default addresses:\n%v\n", err)
	}
	var text string
	switch name {
	case "postfix":
		text, err = s.postfix(c, conf)
	case "dovecot":
		text, err = s.dovecot(c, conf)
	case "systemd":
		text, err = s.systemd(c)
	default:
		text, err = snippets(firewallUnit)
	}
	if err != nil {
		return err
	}
	proposeSession(c)
	_, err = fmt.Fprint(c.OutOrStdout(), text)
	return err
}

// snippets are shipped files, one after the other.
func snippets(names ...string) (string, error) {
	var texts []string
	for _, name := range names {
		text, err := configs.Snippet(name)
		if err != nil {
			return "", err
		}
		texts = append(texts, string(text))
	}
	return strings.Join(texts, "\n"), nil
}

// proposeSession proposes the address from which the administrator is logged in
// for the allowlist, if there is one.
func proposeSession(c *cobra.Command) {
	if p, ok := doctor.SessionPrefix(session()); ok {
		fmt.Fprintf(c.ErrOrStderr(), "You are logged in from %s. If that is always yours, add it in saslguard.yaml:\n  rules:\n    allow_clients: [127.0.0.0/8, \"::1/128\", %s]\n", p, p)
	}
}
