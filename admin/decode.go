package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/saslguard/saslguard/admin/api"
)

const (
	maxBody  = 16 << 20 // an import of 50,000 entries
	maxQuery = 4096     // bytes of a query, and of each value
)

// decode reads what a request says: the query of a GET, the body of a POST. What
// is not known is refused by its name, so that a misspelt option is never taken
// for none.
func decode(w http.ResponseWriter, r *http.Request, in any) error {
	if r.Method == http.MethodGet {
		return decodeQuery(r.URL.RawQuery, in)
	}
	if r.URL.RawQuery != "" {
		return api.Wrong("", "a %s has no query; what it says is in its body", r.Method)
	}
	// No web page can send this type without asking first, and nobody answers.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return api.Errorf(http.StatusUnsupportedMediaType, api.WrongType, "the body is to be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return api.Errorf(http.StatusRequestEntityTooLarge, api.TooLarge, "the body has more than %d octets", tooLarge.Limit)
	case err != nil:
		return api.Wrong("", "the body was not read: %v", err)
	}
	return decodeBody(body, in)
}

// decodeBody reads one JSON object.
func decodeBody(body []byte, in any) error {
	if !utf8.Valid(body) {
		return api.Wrong("", "the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return api.Wrong("", "something follows the object at byte %d", d.InputOffset())
	}
	return nil
}

// bodyError says what is wrong with a body and where.
func bodyError(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		return api.Wrong(kind.Field, "is a%s; allowed is a%s", article(clip(kind.Value)), article(jsonType(kind.Type)))
	case errors.As(err, &syntax):
		return api.Wrong("", "is not JSON: %s at byte %d", syntax.Error(), syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return api.Wrong("", "the body ends before the object does")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if plain, err := strconv.Unquote(name); err == nil {
			name = strconv.QuoteToASCII(clip(plain))
		}
		return api.Wrong("", "the field %s is not known", name)
	}
	return api.Wrong("", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// jsonType is what JSON calls a type.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "object"
	case reflect.Slice:
		return "array"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	}
	return "number"
}

// article is a noun after the rest of its article: " string", "n array".
func article(noun string) string {
	if strings.IndexByte("aeiou", noun[0]) >= 0 {
		return "n " + noun
	}
	return " " + noun
}

// decodeQuery reads a query into a struct with `query` tags: texts, numbers,
// truths and lists of texts.
func decodeQuery(raw string, in any) error {
	if len(raw) > maxQuery {
		return api.Errorf(http.StatusRequestEntityTooLarge, api.TooLarge, "the query has %d octets, and may have %d", len(raw), maxQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return api.Wrong("", "the query cannot be read: %s", strconv.QuoteToASCII(clip(err.Error())))
	}
	v := reflect.ValueOf(in).Elem()
	fields := queryFields(v.Type())
	for name, texts := range values {
		i, known := fields[name]
		if !known {
			return api.Wrong(strconv.QuoteToASCII(clip(name)), "is not known%s", allowedNames(fields))
		}
		if err := setField(v.FieldByIndex(i), name, texts); err != nil {
			return err
		}
	}
	return nil
}

// queryFields are the fields of a request by their names in a query.
func queryFields(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("query"); name != "" {
			fields[name] = f.Index
		}
	}
	return fields
}

func allowedNames(fields map[string][]int) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "; nothing is allowed"
	}
	return "; allowed are " + strings.Join(names, ", ")
}

func setField(f reflect.Value, name string, texts []string) error {
	if f.Kind() != reflect.Slice && len(texts) > 1 {
		return api.Wrong(name, "is there %d times; allowed is once", len(texts))
	}
	text := texts[0]
	if !utf8.ValidString(strings.Join(texts, "")) {
		return api.Wrong(name, "is not UTF-8")
	}
	switch f.Kind() {
	case reflect.Slice:
		f.Set(reflect.ValueOf(texts))
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return api.Wrong(name, "is %s; allowed is true or false", strconv.QuoteToASCII(clip(text)))
		}
		f.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return api.Wrong(name, "is %s; allowed is a whole number", strconv.QuoteToASCII(clip(text)))
		}
		f.SetInt(int64(n))
	default:
		f.SetString(text)
	}
	return nil
}

// clip cuts a hostile text to what a message bears.
func clip(s string) string {
	const longest = 80
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}
