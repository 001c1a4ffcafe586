package admin

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saslguard/saslguard/admin/api"
)

// document is what the test needs of the OpenAPI document.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	Summary     string
	Role        string `yaml:"x-role"`
	Parameters  []parameter
	RequestBody struct{ Content map[string]media } `yaml:"requestBody"`
	Responses   map[string]struct{ Content map[string]media }
}

type parameter struct {
	Name, In, Description string
	Schema                schema
}

type media struct{ Schema schema }

type schema struct {
	Ref                  string `yaml:"$ref"`
	Type                 string
	Format               string
	Description          string
	Required             []string
	Properties           map[string]schema
	Items                *schema
	AdditionalProperties *schema `yaml:"additionalProperties"`
}

func (s schema) name() string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

// TestOpenAPI holds the document to the routes, and its schemas to what really
// goes in and out, field by field, in both directions.
func TestOpenAPI(t *testing.T) {
	var doc document
	if err := yaml.Unmarshal(openAPIDocument, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	want := map[string]bool{}
	hold := holder{t, &doc, used}
	hold.object("Error", reflect.TypeFor[api.Error]())
	for _, rt := range routes() {
		at := rt.method + " " + rt.path
		want[at] = true
		op, ok := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if !ok {
			t.Errorf("%s is not described", at)
			continue
		}
		if op.Summary == "" || op.Role != rt.role {
			t.Errorf("%s: no summary, or the role %q, which is %q", at, op.Role, rt.role)
		}
		hold.request(at, rt, op)
		hold.response(at, rt, op)
	}
	for path, ops := range doc.Paths {
		for method := range ops {
			if at := strings.ToUpper(method) + " " + path; !want[at] {
				t.Errorf("%s is described, and there is no such route", at)
			}
		}
	}
	for name := range doc.Components.Schemas {
		if !used[name] {
			t.Errorf("the schema %s is used by nothing", name)
		}
	}
}

type holder struct {
	*testing.T
	doc  *document
	used map[string]bool
}

func (h holder) request(at string, rt route, op operation) {
	body := op.RequestBody.Content["application/json"].Schema
	if rt.method == "POST" {
		if body.name() == "" {
			h.Errorf("%s: its body is not described", at)
			return
		}
		h.object(body.name(), rt.request)
		return
	}
	described := map[string]schema{}
	for _, p := range op.Parameters {
		if p.In != "query" || p.Description == "" {
			h.Errorf("%s: the parameter %s is in %q, or has no description", at, p.Name, p.In)
		}
		described[p.Name] = p.Schema
	}
	taken := map[string][]int{}
	if rt.request != nil {
		taken = queryFields(rt.request)
	}
	for name, index := range taken {
		s, ok := described[name]
		if !ok {
			h.Errorf("%s: the parameter %s is not described", at, name)
			continue
		}
		h.value(at+" "+name, s, rt.request.FieldByIndex(index).Type)
	}
	for name := range described {
		if _, ok := taken[name]; !ok {
			h.Errorf("%s: the parameter %s is described, and not taken", at, name)
		}
	}
}

func (h holder) response(at string, rt route, op operation) {
	content := op.Responses["200"].Content
	kind := "application/json"
	switch {
	case rt.response == nil:
		return
	case rt.stream:
		kind = "application/x-ndjson"
	}
	name := content[kind].Schema.name()
	if name == "" {
		h.Errorf("%s: its answer is not described as %s", at, kind)
		return
	}
	h.object(name, rt.response)
	if _, ok := op.Responses["default"]; !ok {
		h.Errorf("%s: its errors are not described", at)
	}
}

// object holds a schema to a struct.
func (h holder) object(name string, t reflect.Type) {
	if h.used[name] {
		return
	}
	h.used[name] = true
	s, ok := h.doc.Components.Schemas[name]
	if !ok || s.Type != "object" {
		h.Errorf("there is no object %s among the schemas", name)
		return
	}
	if t.Name() != name {
		h.Errorf("the schema %s is used for %s", name, t)
	}
	var required []string
	fields := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if field == "" || field == "-" {
			continue
		}
		fields[field] = true
		if !strings.Contains(options, "omit") {
			required = append(required, field)
		}
		p, ok := s.Properties[field]
		if !ok {
			h.Errorf("%s.%s is not described", name, field)
			continue
		}
		h.value(name+"."+field, p, f.Type)
	}
	for field := range s.Properties {
		if !fields[field] {
			h.Errorf("%s.%s is described, and there is no such field", name, field)
		}
	}
	if got := slices.Sorted(slices.Values(s.Required)); !slices.Equal(got, slices.Sorted(slices.Values(required))) {
		h.Errorf("%s requires %q, and always has %q", name, got, required)
	}
}

// value holds the schema of a field to its type.
func (h holder) value(at string, s schema, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := ""
	switch {
	case t == reflect.TypeFor[time.Time]():
		want = "string date-time"
	case t.Kind() == reflect.Struct:
		if s.name() == "" {
			h.Errorf("%s is no reference to a schema", at)
			return
		}
		h.object(s.name(), t)
		return
	case t.Kind() == reflect.Slice:
		if s.Type != "array" || s.Items == nil {
			h.Errorf("%s is no array", at)
			return
		}
		h.value(at+"[]", *s.Items, t.Elem())
		return
	case t.Kind() == reflect.Map:
		if s.Type != "object" || s.AdditionalProperties == nil {
			h.Errorf("%s is no object of values", at)
			return
		}
		h.value(at+"{}", *s.AdditionalProperties, t.Elem())
		return
	default:
		want = map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
			reflect.Uint32: "integer", reflect.Float64: "number",
		}[t.Kind()]
	}
	if got := strings.TrimSpace(fmt.Sprint(s.Type, " ", s.Format)); got != want {
		h.Errorf("%s is %q, want %q", at, got, want)
	}
}
