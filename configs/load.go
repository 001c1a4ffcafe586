package configs

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// LoadOptions say what the configuration is loaded from. The zero value is for
// an installed saslguard without flags.
type LoadOptions struct {
	// File must exist. "" is DefaultFile, which need not.
	File string
	// Environ is the environment, as os.Environ gives it, which nil stands for.
	Environ []string
	// Overrides come from flags; the last one of a key wins.
	Overrides []Override
}

// An Override is a value from a flag.
type Override struct {
	Flag  string // as the user knows it: --mode; "" is --set
	Key   string // the whole key: rules.client.ban
	Value string // lists are separated by commas, or as in YAML: [one, two]
}

// DefaultFile is where the configuration is looked for.
const DefaultFile = "/etc/saslguard/saslguard.yaml"

// EnvPrefix begins the names of the environment variables that are read:
// rules.client.ban is SASLGUARD_RULES_CLIENT_BAN.
const EnvPrefix = "SASLGUARD_"

// Load reads the layers of the configuration, merges and checks them. The
// error is of type Problems and has all that is wrong.
func Load(opts LoadOptions) (*Config, error) {
	l := newLoader()
	l.defaults()
	l.files(opts.File)
	l.environment(opts.Environ)
	l.flags(opts.Overrides)
	return l.config()
}

// Default returns the defaults, as they are in saslguard.yaml.
func Default() *Config {
	l := newLoader()
	l.defaults()
	c, err := l.config()
	if err != nil {
		panic(fmt.Sprintf("configs: embedded saslguard.yaml: %v", err)) // a test loads it
	}
	return c
}

// A loader collects the layers.
type loader struct {
	root       *field
	viper      *viper.Viper
	layers     int
	places     places
	unread     []string
	complaints []complaint
	warnings   Problems
	sources    sources
}

func newLoader() *loader {
	return &loader{root: schema(), viper: viper.New(), places: places{}}
}

func (l *loader) complain(c complaint) { l.complaints = append(l.complaints, c) }

// reader begins the next layer.
func (l *loader) reader(source string) *reader {
	l.layers++
	return newReader(l.layers, source, l.complain)
}

// merge puts a layer over those before it.
func (l *loader) merge(r *reader) {
	if err := l.viper.MergeConfigMap(r.values); err != nil {
		r.problem(0, "", "cannot be merged: %s", err)
	}
	l.places.set(r.places)
	l.unread = append(l.unread, r.unread...)
}

func (l *loader) defaults() {
	r := l.reader("saslguard.yaml inside the program")
	r.document(Defaults(), l.root)
	r.places = places{} // what comes from here has no place of its own
	l.merge(r)
}

// environment reads the variables with EnvPrefix. One that is no key is an
// error: a misspelt variable would leave the default in force unseen.
func (l *loader) environment(environ []string) {
	if environ == nil {
		environ = os.Environ()
	}
	byName := map[string]*field{}
	for _, f := range l.root.leaves() {
		byName[f.envName()] = f
	}
	names := sortedKeys(byName)
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		r := l.reader("environment " + printable(name))
		r.inline = true
		f := byName[name]
		if f == nil {
			hint := "; see saslguard.yaml for the keys"
			if k := nearest(name, names); k != "" {
				hint = "; did you mean " + k + "?"
			}
			r.problem(0, "", "is not known%s", hint)
			continue
		}
		l.set(r, f, value)
		l.sources.variables++
	}
}

func (l *loader) flags(overrides []Override) {
	for _, o := range overrides {
		// The value is left out: it may be a secret.
		r := l.reader("flag " + cmp.Or(o.Flag, "--set "+printable(o.Key)+"=…"))
		r.inline = true
		f := l.root.find(o.Key)
		if f == nil {
			r.unknown(0, printable(o.Key), l.root, o.Key)
			continue
		}
		l.set(r, f, o.Value)
		l.sources.flags++
	}
}

// set merges a layer of one value that was given as text.
func (l *loader) set(r *reader, f *field, value string) {
	if v, ok := r.text(f, value); ok {
		put(r.values, f.key, v)
	}
	l.merge(r)
}

// envName is the environment variable of a field.
func (f *field) envName() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
