package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/daemon"
)

func newServe(stderr io.Writer) *cobra.Command {
	var s serve
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer Postfix and Dovecot",
		Long: `Answers Postfix on 127.0.0.1:10035 and Dovecot on 127.0.0.1:4001, or wherever
the configuration says, until it is told to stop.

Without --enforce (or mode: enforce) it observes: it decides, records and logs,
and refuses nothing. It needs no root, no Redis and no configuration file.

Signals: SIGHUP reloads the configuration (a wrong one is refused, and the old
one goes on), SIGTERM and SIGINT stop after the requests in flight are answered.
'saslguard setup' prints what belongs into Postfix's and Dovecot's settings.`,
		Example: `  saslguard serve
  saslguard serve --enforce
  saslguard serve --config ./saslguard.yaml --set log.level=debug
  SASLGUARD_RULES_CLIENT_BAN=25 saslguard serve`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return s.run(stderr) },
	}
	s.settings.flags(c.Flags())
	f := c.Flags()
	f.BoolVar(&s.enforce, "enforce", false, "enforce: refuse, delay and ban")
	f.BoolVar(&s.observe, "observe", false, "observe only, whatever the configuration says")
	f.StringSliceVar(&s.postfix, "postfix", nil, "where Postfix asks: `host:port` or unix:/path")
	f.StringSliceVar(&s.dovecot, "dovecot", nil, "where Dovecot asks: `host:port` or unix:/path")
	f.StringVar(&s.state, "state", "", "`directory` for bans, scores and familiar clients")
	f.StringVar(&s.level, "log-level", "", "least severe `level` to log: debug, info, warn or error")
	return c
}

// serve is the command and its flags.
type serve struct {
	settings         settings
	enforce, observe bool
	postfix, dovecot []string
	state, level     string
}

// load loads the configuration as the flags want it, at the start and at each
// reload.
func (s *serve) load() (*configs.Config, error) {
	var over []configs.Override
	add := func(flag, key, value string) {
		if value != "" {
			over = append(over, configs.Override{Flag: flag, Key: key, Value: value})
		}
	}
	if s.enforce && s.observe {
		return nil, usageError{errors.New("--enforce and --observe exclude each other")}
	}
	if s.enforce {
		add("--enforce", "mode", configs.Enforce)
	}
	if s.observe {
		add("--observe", "mode", configs.Observe)
	}
	add("--postfix", "postfix.listen", strings.Join(s.postfix, ","))
	add("--dovecot", "dovecot.listen", strings.Join(s.dovecot, ","))
	add("--state", "state_directory", s.state)
	add("--log-level", "log.level", s.level)
	return s.settings.load(over...)
}

func (s *serve) run(stderr io.Writer) error {
	// A SIGHUP that comes while starting must not end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	c, err := s.load()
	if err != nil {
		return err
	}
	log, level, err := daemon.NewLogger(c.Log, stderr)
	if err != nil {
		return err
	}
	warn(log, c)
	d, err := daemon.New(c, daemon.Options{Version: buildVersion(), Logger: log, Level: level})
	if err != nil {
		return err
	}
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		reloadOn(ctx, hup, func() { reload(d, s.load, log) })
	}()
	err = d.Run(ctx)
	stop()
	<-reloads
	return err
}

func warn(log *zap.Logger, c *configs.Config) {
	for _, p := range c.Warnings() {
		log.Warn("configuration", zap.String("place", p.Place), zap.String("key", p.Key), zap.String("warning", p.Text))
	}
}
