package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Problem is something wrong with the configuration, and where.
type Problem struct {
	Place string // /etc/saslguard/saslguard.yaml:12, environment SASLGUARD_MODE, flag --set, default
	Key   string // rules.client.ban; "": not about one key
	Text  string // what is wrong; what is allowed
}

func (p Problem) String() string {
	if p.Key == "" {
		return p.Place + ": " + p.Text
	}
	return p.Place + ": " + p.Key + ": " + p.Text
}

// Problems are all problems of a configuration. As an error they have a line
// each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems is how many problems are kept: a file of garbage has one in
// every line, and nobody reads further.
const maxProblems = 50

// A place is where a value was set. The zero place is the defaults.
type place struct {
	layer  int    // later layers win
	source string // a path, or words such as "flag --set"
	line   int    // in the file; 0: not a file
}

func (p place) String() string {
	switch {
	case p.source == "":
		return "default"
	case p.line == 0:
		return p.source
	default:
		return fmt.Sprintf("%s:%d", p.source, p.line)
	}
}

// places are where values were set last, and the entries of lists, as in
// postfix.listen[1]. What is not in it is a default.
type places map[string]place

// of is where a key's value came from: its own place, or that of the list
// around it.
func (ps places) of(key string) place {
	for key != "" {
		if p, ok := ps[key]; ok {
			return p
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return place{}
}

// set says that a later layer set a value. A list is replaced as a whole, so
// the places of its entries are forgotten.
func (ps places) set(later places) {
	for key := range later {
		if strings.Contains(key, "[") {
			continue
		}
		for old := range ps {
			if strings.HasPrefix(old, key+"[") {
				delete(ps, old)
			}
		}
	}
	for key, p := range later {
		ps[key] = p
	}
}

// A complaint is a problem that is not sorted in yet.
type complaint struct {
	at        place
	key, text string
}

// sorted returns the complaints in the order in which one would repair them:
// by file and line, then environment, then flags.
func sorted(complaints []complaint) Problems {
	slices.SortStableFunc(complaints, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.at.layer, b.at.layer), cmp.Compare(a.at.line, b.at.line))
	})
	var ps Problems
	for i, c := range complaints {
		if i == maxProblems {
			more := fmt.Sprintf("%d more problems are not shown", len(complaints)-maxProblems)
			return append(ps, Problem{Place: c.at.String(), Text: more})
		}
		ps = append(ps, Problem{Place: c.at.String(), Key: c.key, Text: c.text})
	}
	return ps
}

// quote makes text from a file fit for a message: short, and of one line.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", string([]rune(s[:min(len(s), 4*most)])[:most]))
}
