package configs

import (
	"io"
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Masked stands for a secret where the configuration is shown.
const Masked = "(hidden)"

// Effective writes the configuration in force as YAML. Secrets are masked, and
// a comment says where each value came from that is not a default.
func (c *Config) Effective(w io.Writer) error {
	doc := c.node(schema(), reflect.ValueOf(c).Elem())
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil {
		return err
	}
	return e.Close()
}

// node is a field and its value in YAML; v is the Config.
func (c *Config) node(f *field, v reflect.Value) *yaml.Node {
	if f.kind != section {
		n := f.node(v.FieldByIndex(f.index))
		if at := c.places.of(f.key); at != (place{}) {
			n.LineComment = "# " + at.String()
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, child := range f.fields {
		n.Content = append(n.Content, textNode(child.name), c.node(child, v))
	}
	return n
}

// node is a value in YAML. Lists are written in one line, so that there is a
// place for the comment.
func (f *field) node(v reflect.Value) *yaml.Node {
	switch f.kind {
	case span:
		return textNode(FormatDuration(time.Duration(v.Int())))
	case whole:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatInt(v.Int(), 10)}
	case number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v.Float(), 'f', -1, 64)}
	case truth:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(v.Bool())}
	case texts, records:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, f.entry(v.Index(i)))
		}
		return n
	default:
		if f.secret && v.String() != "" {
			return textNode(Masked)
		}
		return textNode(v.String())
	}
}

// entry is one entry of a list in YAML.
func (f *field) entry(v reflect.Value) *yaml.Node {
	if f.kind == texts && f.secret {
		return textNode(Masked)
	}
	if f.kind == texts {
		return textNode(v.String())
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, child := range f.fields {
		n.Content = append(n.Content, textNode(child.name), child.node(v.FieldByIndex(child.index)))
	}
	return n
}

// textNode is text; the encoder quotes what would be read as something else.
func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}
