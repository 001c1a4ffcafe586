package configs

import (
	"reflect"
	"strings"
)

// allowed says what may be written at a field.
func (f *field) allowed() string {
	switch f.kind {
	case section:
		return "its keys on lines of their own below it: " + f.names()
	case text:
		return f.allowedText()
	case number:
		return "a number such as 3 or 0.5"
	case whole:
		return "a whole number such as 20"
	case truth:
		return "true or false"
	case span:
		return "a time such as 90s, 10m, 4h, 30d or 1d12h"
	case texts:
		return "a list such as [one, two], or [] for none"
	default:
		return "a list of entries, each with " + f.names()
	}
}

// allowedText says what text may be written at a field. Only the part that the
// field belongs to knows it: so it is shown no text at all, and what it says to
// that is told. "" is offered only where it is allowed.
func (f *field) allowedText() string {
	if f.index == nil {
		return "text" // an entry of a list
	}
	complaint, refused := f.withoutText()
	_, allowed, told := strings.Cut(complaint, "; allowed is ")
	switch {
	case !refused:
		return `text, or "" for none`
	case told:
		return allowed
	default:
		return "text"
	}
}

// withoutText returns what Check says of the defaults with "" at the field, or
// of a list that has one entry with "" at it.
func (f *field) withoutText() (complaint string, refused bool) {
	c := Default()
	holder, key := reflect.ValueOf(c).Elem(), f.key
	if list := schema().find(f.key); list != nil && list.kind == records {
		entries := holder.FieldByIndex(list.index)
		entries.Set(reflect.MakeSlice(entries.Type(), 1, 1))
		holder, key = entries.Index(0), list.key+"[0]."+f.name
	}
	holder.FieldByIndex(f.index).SetString("")
	c.Check(func(k, text string) {
		if k == key {
			complaint, refused = text, true
		}
	})
	return complaint, refused
}
