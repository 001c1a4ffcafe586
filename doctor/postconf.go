package doctor

import (
	"fmt"
	"strings"
)

// The bounds of what postconf prints: a Postfix has a thousand parameters and
// some dozens of services.
const (
	maxParameters = 20_000
	maxServices   = 2_000
	maxValue      = 256 << 10 // octets of one line
)

// A lineError is a line of a program's output that is not what its manual says.
// The line itself is left out: it may hold a secret.
type lineError struct {
	program string
	line    int
	problem string
}

func (e lineError) Error() string {
	return fmt.Sprintf("line %d of what %s printed %s", e.line, e.program, e.problem)
}

// parseParameters reads what `postconf` prints: "name = value" a line.
func parseParameters(text string) (map[string]string, error) {
	all := map[string]string{}
	err := eachLine("postconf", text, maxParameters, func(line string) string {
		name, value, ok := assignment(line)
		if !ok {
			return "is no name = value"
		}
		all[name] = value
		return ""
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// assignment splits "name = value", where the value may be empty and then has
// no space before it.
func assignment(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, " =")
	if !ok || name == "" || strings.ContainsAny(name, " \t=") || value != "" && value[0] != ' ' {
		return "", "", false
	}
	return name, strings.TrimPrefix(value, " "), true
}

// A service is a line of master.cf, as far as it matters here.
type service struct {
	name, kind string // submission, inet
	chroot     bool
	// chrootDefault says that master.cf leaves it open: no, unless
	// compatibility_level is 0.
	chrootDefault bool
	limit         string // of its processes; "-" is default_process_limit
	command       string // smtpd

	settings map[string]string // its -o, by name
}

// String is the service as postconf names it.
func (s *service) String() string { return s.name + "/" + s.kind }

// parseServices reads what `postconf -M` prints: the lines of master.cf, one
// for each service. The options behind the command are not read here, but by
// parseOverrides.
func parseServices(text string) ([]*service, error) {
	var all []*service
	err := eachLine("postconf -M", text, maxServices, func(line string) string {
		f := strings.Fields(line)
		if len(f) < 8 {
			return "has not the eight fields of master.cf"
		}
		switch f[1] {
		case "inet", "unix", "unix-dgram", "fifo", "pass":
		default:
			return "has no type of master.cf in its second field"
		}
		all = append(all, &service{name: f[0], kind: f[1], chroot: f[4] == "y", chrootDefault: f[4] == "-", limit: f[6], command: f[7], settings: map[string]string{}})
		return ""
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseOverrides reads what `postconf -P` prints, "name/type/parameter = value",
// into the services.
func parseOverrides(text string, services []*service) error {
	byName := map[string]*service{}
	for _, s := range services {
		byName[s.String()] = s
	}
	return eachLine("postconf -P", text, maxParameters, func(line string) string {
		name, value, ok := assignment(line)
		i := strings.LastIndexByte(name, '/')
		if !ok || i < 0 {
			return "is no name/type/parameter = value"
		}
		s := byName[name[:i]]
		if s == nil {
			return "is of a service that is not in master.cf"
		}
		s.settings[name[i+1:]] = value
		return ""
	})
}

// eachLine calls f for every line, and turns what it complains of into an error.
func eachLine(program, text string, most int, f func(line string) (problem string)) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		problem := ""
		switch {
		case n > most:
			problem = fmt.Sprintf("is one more than the %d that are read", most)
		case len(line) > maxValue:
			problem = fmt.Sprintf("has more than %d octets", maxValue)
		case strings.ContainsAny(line, "\x00\r"):
			problem = "has a control character"
		case line == "":
			continue
		default:
			problem = f(line)
		}
		if problem != "" {
			return lineError{program, n, problem}
		}
	}
	return nil
}
