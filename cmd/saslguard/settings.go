package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/saslguard/saslguard/configs"
)

// settings are the flags that every command has that reads the configuration.
type settings struct {
	file string
	set  []string
}

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.file, "config", "c", "", "configuration `file` (default "+configs.DefaultFile+", if it exists)")
	f.StringArrayVar(&s.set, "set", nil, "`key=value` over the file and the environment, such as rules.client.ban=25")
}

// load loads the configuration; more are overrides from other flags.
func (s *settings) load(more ...configs.Override) (*configs.Config, error) {
	o := configs.LoadOptions{File: s.file}
	for _, kv := range s.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %q has no =; it is key=value, such as --set rules.client.ban=25", kv)}
		}
		o.Overrides = append(o.Overrides, configs.Override{Key: key, Value: value})
	}
	o.Overrides = append(o.Overrides, more...)
	return configs.Load(o)
}
