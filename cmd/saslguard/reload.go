package main

import (
	"context"
	"errors"
	"os"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/configs"
)

// reloader is what a SIGHUP reloads.
type reloader interface {
	Reloading() func()
	Reload(*configs.Config) (restart []string, err error)
}

// reloadOn reloads at each signal until ctx ends.
func reloadOn(ctx context.Context, hup <-chan os.Signal, reload func()) {
	for {
		select {
		case <-hup:
			reload()
		case <-ctx.Done():
			return
		}
	}
}

// reload loads the configuration anew. A wrong one changes nothing.
func reload(what reloader, load func() (*configs.Config, error), log *zap.Logger) {
	defer what.Reloading()()
	c, err := load()
	if err != nil {
		var problems configs.Problems
		if errors.As(err, &problems) {
			for _, p := range problems {
				log.Error("the configuration is wrong", zap.String("place", p.Place), zap.String("key", p.Key), zap.String("problem", p.Text))
			}
		}
		log.Error("not reloaded: the old configuration goes on", zap.Error(err))
		return
	}
	warn(log, c)
	restart, err := what.Reload(c)
	if err != nil {
		log.Error("not reloaded: the old configuration goes on", zap.Error(err))
		return
	}
	log.Info("reloaded", zap.String("mode", c.Mode))
	if len(restart) > 0 {
		log.Warn("these settings have changed, and take effect after a restart", zap.Strings("keys", restart))
	}
}
