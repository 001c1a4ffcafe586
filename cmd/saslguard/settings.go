package main

import (
	"errors"
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
	f.VarP(&fileFlag{&s.file}, "config", "c", "configuration `file` (default "+configs.DefaultFile+", if it exists)")
	f.StringArrayVar(&s.set, "set", nil, "`key=value` over the file and the environment, such as rules.client.ban=25")
}

// fileFlag is the name of a file. An empty one, as from a variable of a script
// that is not set, does not stand for the file that is read without it.
type fileFlag struct{ name *string }

// Set implements pflag.Value.
func (f *fileFlag) Set(name string) error {
	if name == "" {
		return errors.New("the name of the file is empty")
	}
	*f.name = name
	return nil
}

// String implements pflag.Value.
func (f *fileFlag) String() string {
	if f.name == nil {
		return ""
	}
	return *f.name
}

// Type implements pflag.Value.
func (f *fileFlag) Type() string { return "string" }

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
