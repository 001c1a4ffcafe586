// The saslguard command. Each subcommand is a file; this one only runs them and
// turns their errors into messages and exit codes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/configs"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1  // something did not work; the message says what
	exitUsage  = 2  // the command line is not understood
	exitConfig = 78 // the configuration is wrong (EX_CONFIG of sysexits.h)

	exitWarnings = 3 // of doctor: it found warnings
	exitErrors   = 4 // of doctor: it found errors
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs a command line and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	c, err := root.ExecuteC()
	var problems configs.Problems
	var usage usageError
	var code exitError
	var refused *api.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &problems):
		// A problem begins its line with file and line, as editors want it.
		fmt.Fprintf(stderr, "saslguard: the configuration is wrong:\n%v\n", problems)
		return exitConfig
	case errors.As(err, &refused) && flagOf(c, refused) != "":
		fmt.Fprintf(stderr, "saslguard: --%s %s\nTry: %s --help\n", flagOf(c, refused), refused.Message, c.CommandPath())
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "saslguard: %v\nTry: %s --help\n", err, c.CommandPath())
		return exitUsage
	}
	fmt.Fprintln(stderr, "saslguard:", err)
	return exitFailed
}

// flagOf is the flag with which the server was told what it finds wrong; "" for
// none.
func flagOf(c *cobra.Command, e *api.Error) string {
	if e.Code != api.Invalid || e.Field == "" {
		return ""
	}
	otherwise := map[string]string{"limit": "events", "age": "since"}
	for _, name := range []string{e.Field, otherwise[e.Field]} {
		if name != "" && c.Flags().Lookup(name) != nil {
			return name
		}
	}
	return ""
}

// usageError is a command line that is not understood.
type usageError struct{ error }

func isUsage(err error) bool { return errors.As(err, new(usageError)) }

// exitError is an exit code that needs no message: the output has said why.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "saslguard",
		Short: "Stops password guessing at Postfix and Dovecot while it happens",
		Long: `saslguard answers Postfix's check_policy_service and Dovecot's
auth_policy_server_url while a login is happening: it counts failed logins by
client, network and account, and delays, refuses and bans who guesses passwords.

What it does is set in ` + configs.DefaultFile + `, which need not exist, by
environment variables (rules.client.ban is ` + configs.EnvPrefix + `RULES_CLIENT_BAN), and by
flags; 'saslguard config defaults' explains every key.

Exit codes: 0 it worked, 1 it failed, 2 wrong command line, 78 wrong configuration;
doctor: 3 it found warnings, 4 it found errors.`,
		Example: `  saslguard serve                    observe: decide and log, refuse nothing
  saslguard serve --enforce          refuse and ban
  saslguard config check             is the configuration right?
  saslguard setup                    what to put into Postfix and Dovecot`,
		Version:       longVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("saslguard {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	root.AddCommand(newServe(stderr), newFirewall(stderr), newConfig(), newSetup(), newHealth(), newNotify(), newReplay())
	root.AddCommand(newDoctor(), newMan())
	root.AddCommand(newStatus(), newBans(), newBan(), newUnban(), newAllow(), newForget(), newExplain(), newWatch(), newReport(), newAudit())
	return root
}

// flagError puts into plain words what a function of Go's says of a value.
func flagError(err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) && value.GetFlag().Value.Type() == "bool" {
		return fmt.Errorf("--%s %q: it is true or false, and true if nothing is said", value.GetFlag().Name, value.GetValue())
	}
	return err
}

// noArgs is cobra.NoArgs as a usage error.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%q is not understood by %s", args[0], c.CommandPath())}
}
