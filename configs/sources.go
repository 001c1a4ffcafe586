package configs

import (
	"fmt"
	"strings"
)

// sources are what a configuration was read from, beside the defaults.
type sources struct {
	file      string // the main file; "": there is none
	dropIns   int    // files of conf.d
	variables int    // values from the environment
	flags     int    // values from flags
}

// Sources says what the configuration was read from, for people: one who has
// a file checked wants to know that it was that one.
func (c *Config) Sources() string { return c.sources.String() }

func (s sources) String() string {
	if s == (sources{}) {
		return "no file: all defaults"
	}
	parts := []string{"no file"}
	if s.file != "" {
		parts[0] = s.file
	}
	for _, more := range []struct {
		n               int
		one, many, from string
	}{
		{s.dropIns, "file", "files", "of conf.d"},
		{s.variables, "value", "values", "from the environment"},
		{s.flags, "value", "values", "from flags"},
	} {
		switch more.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+more.one+" "+more.from)
		default:
			parts = append(parts, fmt.Sprintf("%d %s %s", more.n, more.many, more.from))
		}
	}
	return strings.Join(parts, ", ")
}
