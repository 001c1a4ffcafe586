package configs

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// A kind is what may stand at a key.
type kind uint8

// The kinds. The first is for keys with keys below them.
const (
	section kind = iota
	text
	number
	whole
	truth
	span
	texts   // a list of texts
	records // a list of sections
)

// A field is a key that a configuration may have.
type field struct {
	name   string   // the last part of the key
	key    string   // the whole key; "" for the configuration as such
	kind   kind     //
	secret bool     // never shown
	index  []int    // of the value in Config, or in a record
	fields []*field // of a section, or of each record
}

// schema finds the fields in Config. It is the only list of keys that there is.
func schema() *field {
	root := &field{kind: section}
	root.fields = fieldsOf(reflect.TypeFor[Config](), root, nil)
	return root
}

func fieldsOf(t reflect.Type, parent *field, index []int) []*field {
	var fields []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, option, _ := strings.Cut(sf.Tag.Get("mapstructure"), ",")
		at := append(index[:len(index):len(index)], i)
		if option == "squash" {
			fields = append(fields, fieldsOf(sf.Type, parent, at)...)
			continue
		}
		if name == "" {
			continue
		}
		f := &field{name: name, key: join(parent.key, name), index: at, secret: sf.Tag.Get("secret") == "true"}
		f.kind = kindOf(sf.Type)
		switch f.kind {
		case section:
			f.fields = fieldsOf(sf.Type, f, at)
		case records:
			f.fields = fieldsOf(sf.Type.Elem(), f, nil)
		}
		fields = append(fields, f)
	}
	return fields
}

// kindOf panics for a type that no configuration has yet: a test walks them
// all, so nobody but a developer sees it.
func kindOf(t reflect.Type) kind {
	if t == reflect.TypeFor[time.Duration]() {
		return span
	}
	switch t.Kind() {
	case reflect.Struct:
		return section
	case reflect.String:
		return text
	case reflect.Float64:
		return number
	case reflect.Int:
		return whole
	case reflect.Bool:
		return truth
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.String:
			return texts
		case reflect.Struct:
			return records
		}
	}
	panic(fmt.Sprintf("configs: no kind for %s", t))
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// child returns the field of a name, or nil.
func (f *field) child(name string) *field {
	for _, c := range f.fields {
		if c.name == name {
			return c
		}
	}
	return nil
}

// names lists the fields below, for a message.
func (f *field) names() string {
	names := make([]string, len(f.fields))
	for i, c := range f.fields {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// walk visits the field and all below it; the insides of records are not keys.
func (f *field) walk(visit func(*field)) {
	visit(f)
	if f.kind == section {
		for _, c := range f.fields {
			c.walk(visit)
		}
	}
}

// leaves are the fields that have a value.
func (f *field) leaves() []*field {
	var leaves []*field
	f.walk(func(c *field) {
		if c.kind != section {
			leaves = append(leaves, c)
		}
	})
	return leaves
}

// find returns the field of a whole key, or nil.
func (f *field) find(key string) *field {
	for name := range strings.SplitSeq(key, ".") {
		if f = f.child(name); f == nil || f.kind == records {
			return f
		}
	}
	return f
}
