package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A layer is one source of values, held against the schema: what was good of
// it, nested as viper wants it, and where it stood.
type layer struct {
	values map[string]any
	places places
	secret string   // the first secret in it; "": none
	unread []string // keys whose values were of no use
}

// A reader turns one source into a layer, and complains of what does not fit.
type reader struct {
	layer
	order    int    // of the layer
	source   string // see place
	inline   bool   // not a file: there are no lines
	problems int
	complain func(complaint)
}

func newReader(order int, source string, complain func(complaint)) *reader {
	return &reader{
		layer: layer{values: map[string]any{}, places: places{}},
		order: order, source: source, complain: complain,
	}
}

func (r *reader) at(line int) place {
	if r.inline {
		line = 0
	}
	return place{r.order, r.source, line}
}

func (r *reader) problem(line int, key, format string, args ...any) {
	r.problems++
	r.complain(complaint{r.at(line), key, fmt.Sprintf(format, args...)})
}

// useless is a problem with a value that its key has therefore not got.
func (r *reader) useless(line int, f *field, key, format string, args ...any) {
	r.unread = append(r.unread, f.key)
	if key != f.key { // in an entry of a list
		r.unread = append(r.unread, key)
	}
	r.problem(line, key, format, args...)
}

// document reads a YAML file. An empty one, or one of comments only, sets
// nothing.
func (r *reader) document(text []byte, root *field) {
	doc, more, err := parseYAML(text)
	switch {
	case err != nil:
		r.syntax(text, err)
		return
	case more != nil:
		r.problem(more.Line, "", "a second document begins here; allowed is one in a file, without ---")
	}
	if doc == nil || doc.ShortTag() == "!!null" {
		return
	}
	if doc.Kind != yaml.MappingNode {
		r.problem(doc.Line, "", "is no configuration; allowed are keys and values, such as mode: observe")
		return
	}
	r.values = r.section(root, "", doc)
}

// parseYAML returns what is in the first document, nil if there is nothing,
// and a second document if there is one.
func parseYAML(text []byte) (top, more *yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var docs [2]yaml.Node
	for i := range docs {
		if err := decoder.Decode(&docs[i]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
	}
	if docs[1].Kind != 0 {
		more = &docs[1]
	}
	if docs[0].Kind != 0 {
		top = docs[0].Content[0]
	}
	return top, more, nil
}

// syntax reports what the YAML parser says. The line that it names is often
// that in which the section around the mistake begins, or one before it; the
// right one is where the text must end for the parser to say so.
func (r *reader) syntax(text []byte, err error) {
	said := complaintOf(err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	line := 1 + sort.Search(len(lines)-1, func(n int) bool {
		_, _, err := parseYAML(bytes.Join(lines[:n+1], nil))
		return err != nil && complaintOf(err) == said
	})
	if strings.HasPrefix(strings.TrimLeft(string(lines[line-1]), " "), "\t") {
		r.problem(line, "", "is not YAML: begins with a tab; YAML is indented by blanks")
		return
	}
	r.problem(line, "", "is not YAML: %s; allowed are keys and values, indented by blanks", said)
}

// complaintOf is what the YAML parser says, without the line.
func complaintOf(err error) string {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	if line, rest, ok := strings.Cut(said, ": "); ok && strings.HasPrefix(line, "line ") {
		return rest
	}
	return said
}

// section reads a mapping. Nothing that a user wrote becomes a key of the
// result: only names of the schema do.
func (r *reader) section(f *field, key string, n *yaml.Node) map[string]any {
	values := map[string]any{}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" {
			r.problem(name.Line, key, "has a key that is no name; allowed are %s", f.names())
			continue
		}
		child := f.child(name.Value)
		if child == nil {
			if i > 0 && n.Style&yaml.FlowStyle != 0 && value.ShortTag() == "!!null" && digits(n.Content[i-1].Value) && digits(name.Value) {
				r.comma(name.Line, join(key, printable(n.Content[i-2].Value)), n.Content[i-1].Value, name.Value)
				continue
			}
			r.unknown(name.Line, join(key, printable(name.Value)), f, name.Value)
			if strings.HasSuffix(key, "]") {
				r.unread = append(r.unread, key) // what the entry then lacks only follows
			}
			continue
		}
		below := join(key, child.name)
		if first, twice := seen[child.name]; twice {
			r.problem(name.Line, below, "is written twice, first in line %d; allowed is once", first)
			continue
		}
		seen[child.name] = name.Line
		v, ok := r.value(child, below, value)
		if ok {
			values[child.name] = v
		}
		if ok && child.kind != section {
			r.places[below] = r.at(name.Line) // of a list, YAML names the line of the first entry
		}
	}
	return values
}

// unknown is a problem with a key that the section f does not have.
func (r *reader) unknown(line int, key string, f *field, name string) {
	hint := ""
	if r.problems < maxProblems { // beyond it nobody sees it, and a hint costs the most
		hint = f.hint(join(f.key, name))
		meant, names := f.find(name), strings.Split(name, ".")
		if len(names) > 1 && !r.inline && meant != nil && meant.key == join(f.key, name) {
			hint = "; in a file keys are nested: " + strings.Join(names, ": / ") + ":"
		}
	}
	r.problem(line, key, "is not known%s", hint)
}

// comma is a problem with {ban: 2,5}, which to YAML is ban: 2 and a key 5.
func (r *reader) comma(line int, key, before, after string) {
	r.unread = append(r.unread, key)
	r.problem(line, key, "is followed by a comma and %s; %s: %s.%s", quote(after), pointNotComma, clip(before), clip(after))
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// value reads what stands at a key; false when it is of no use.
func (r *reader) value(f *field, key string, n *yaml.Node) (any, bool) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		// They would only hide where a value stands, and let a small file grow large.
		r.useless(n.Line, f, key, "uses an anchor or an alias; allowed is the value itself")
		return nil, false
	case n.Style&yaml.TaggedStyle != 0:
		r.useless(n.Line, f, key, "has the tag %s; allowed are values without tags", quote(n.Tag))
		return nil, false
	case n.ShortTag() == "!!null" && f.kind == section:
		return map[string]any{}, true // all keys in it are comments
	case n.ShortTag() == "!!null":
		r.useless(n.Line, f, key, "has no value%s", r.allowed(f))
		return nil, false
	case n.Kind != f.yamlKind():
		r.useless(n.Line, f, key, "is %s%s", yamlName(n), r.allowed(f))
		return nil, false
	}
	if f.kind == section {
		return r.section(f, key, n), true
	}
	r.places[key] = r.at(n.Line)
	switch f.kind {
	case texts:
		return r.texts(f, key, n), true
	case records:
		return r.records(f, key, n), true
	default:
		return r.scalar(f, key, n.Line, n.Value)
	}
}

// allowed is the end of a message about a value of no use, as long as anybody
// sees it: to find it out costs more than the rest.
func (r *reader) allowed(f *field) string {
	if r.problems >= maxProblems {
		return ""
	}
	return "; allowed is " + f.allowed()
}

// scalar reads one value as it was written: 0660 is text where text belongs.
func (r *reader) scalar(f *field, key string, line int, s string) (any, bool) {
	v, err := f.parse(s)
	if err != nil {
		r.useless(line, f, key, "%s", err)
		return nil, false
	}
	r.places[key] = r.at(line)
	if f.secret && s == Masked {
		r.useless(line, f, key, "is what stands for a secret where it is shown, not the secret; allowed is the secret itself")
		return nil, false
	}
	if f.secret && s != "" && r.secret == "" {
		r.secret = key
	}
	return v, true
}

func (r *reader) texts(f *field, key string, n *yaml.Node) []string {
	list := []string{}
	for i, e := range n.Content {
		entry := fmt.Sprintf("%s[%d]", key, i)
		if v, ok := r.value(&field{key: f.key, kind: text, secret: f.secret}, entry, e); ok {
			list = append(list, v.(string))
		}
	}
	return list
}

func (r *reader) records(f *field, key string, n *yaml.Node) []map[string]any {
	list := []map[string]any{}
	for i, e := range n.Content {
		entry := fmt.Sprintf("%s[%d]", key, i)
		if v, ok := r.value(&field{key: f.key, kind: section, fields: f.fields}, entry, e); ok {
			r.places[entry] = r.at(e.Line)
			list = append(list, v.(map[string]any))
		}
	}
	return list
}

// yamlKind is how the field is written in YAML.
func (f *field) yamlKind() yaml.Kind {
	switch f.kind {
	case section:
		return yaml.MappingNode
	case texts, records:
		return yaml.SequenceNode
	default:
		return yaml.ScalarNode
	}
}

func yamlName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "one value"
	}
}
