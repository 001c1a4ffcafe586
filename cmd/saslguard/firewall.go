package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/daemon"
)

func newFirewall(stderr io.Writer) *cobra.Command {
	var f firewallAgent
	c := &cobra.Command{
		Use:   "firewall",
		Short: "Keep the firewall of this host true to the bans",
		Long: `Brings all bans into the firewall of this host and keeps them there, until it is
told to stop: the server itself needs no privilege for it. It learns of bans from
Redis, or without one from the saslguard that serves on this host.

It needs CAP_NET_ADMIN and nothing else, as the unit of
'saslguard setup systemd/saslguard-firewall.service' has it; not root.

Signals: SIGHUP reloads the configuration, SIGTERM and SIGINT stop. What then
becomes of the bans in the firewall says firewall.at_stop.`,
		Example: `  saslguard firewall
  saslguard firewall --set firewall.backend=dryrun
  saslguard firewall status
  saslguard firewall pause --for 10m`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return f.run(stderr) },
	}
	f.settings.flags(c.Flags())
	c.Flags().StringVar(&f.level, "log-level", "", "least severe `level` to log: debug, info, warn or error")
	c.AddCommand(newFirewallStatus(), newFirewallPause(), newFirewallResume(), newFirewallFlush(), newFirewallRates())
	return c
}

// firewallAgent is the command that runs the agent, and its flags.
type firewallAgent struct {
	settings settings
	level    string
}

func (f *firewallAgent) load() (*configs.Config, error) {
	var over []configs.Override
	if f.level != "" {
		over = append(over, configs.Override{Flag: "--log-level", Key: "log.level", Value: f.level})
	}
	return f.settings.load(over...)
}

func (f *firewallAgent) run(stderr io.Writer) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	c, err := f.load()
	if err != nil {
		return err
	}
	log, level, err := daemon.NewLogger(c.Log, stderr)
	if err != nil {
		return err
	}
	warn(log, c)
	agent, err := daemon.NewFirewall(c, daemon.Options{Version: buildVersion(), Logger: log, Level: level})
	if err != nil {
		return err
	}
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		reloadOn(ctx, hup, func() { reload(agent, f.load, log) })
	}()
	err = agent.Run(ctx)
	stop()
	<-reloads
	return err
}
