package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads the text of one value. Numbers are decimal and nothing else:
// YAML would read 010 as 8 and 1_0 as 10.
func (f *field) parse(s string) (any, error) {
	switch f.kind {
	case text:
		return s, nil
	case span:
		d, err := ParseDuration(s)
		if err != nil {
			return nil, err
		}
		return d, nil
	case truth:
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	case whole:
		if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
			return n, nil
		}
	case number:
		n, err := strconv.ParseFloat(s, 64)
		if err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) && strings.Trim(s, "-0123456789.") == "" {
			return n, nil
		}
	}
	hint := ""
	if f.kind == number && strings.Contains(s, ",") {
		hint = "; " + pointNotComma
	}
	return nil, fmt.Errorf("is %s; allowed is %s%s", quote(s), f.allowed(), hint)
}

// text reads a value from where there is only text: the environment and flags.
// Records are written as in YAML; for lists see split.
func (r *reader) text(f *field, s string) (any, bool) {
	switch f.kind {
	case section:
		r.useless(0, f, f.key, "is a section; allowed are the keys in it, such as %s", f.fields[0].key)
		return nil, false
	case texts:
		r.places[f.key] = r.at(0)
		return split(s), true
	case records:
		var doc yaml.Node
		err := yaml.Unmarshal([]byte(s), &doc)
		if err == nil && len(doc.Content) == 0 {
			err = errors.New("empty")
		}
		if err != nil {
			r.useless(0, f, f.key, "is not YAML (%s); allowed is a list such as [%s]", err, f.example())
			return nil, false
		}
		return r.value(f, f.key, doc.Content[0])
	default:
		return r.scalar(f, f.key, 0, s)
	}
}

// split reads a list: its entries are separated by commas, and brackets around
// them and quotes around each are as good as none, so that what stands in a file
// can be copied. It is not YAML, where [::1]:25 needs quotes.
func split(s string) []string {
	list := []string{}
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	for entry := range strings.SplitSeq(s, ",") {
		entry = strings.TrimSpace(entry)
		if n := len(entry); n >= 2 && (entry[0] == '"' || entry[0] == '\'') && entry[n-1] == entry[0] {
			entry = entry[1 : n-1]
		}
		if entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

// example is a record as it is written in one line.
func (f *field) example() string {
	var parts []string
	for _, c := range f.fields {
		parts = append(parts, c.name+": …")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// put sets a value at a whole key of nested maps.
func put(values map[string]any, key string, v any) {
	for {
		name, below, more := strings.Cut(key, ".")
		if !more {
			values[name] = v
			return
		}
		next, ok := values[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			values[name] = next
		}
		values, key = next, below
	}
}
