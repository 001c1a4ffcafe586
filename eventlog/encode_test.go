package eventlog

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

// same holds what is written of an event to what encoding/json writes.
func same(t *testing.T, e *Event) {
	t.Helper()
	want, err := json.Marshal(e)
	if err != nil {
		return // a time that is none
	}
	if got := encode([]Event{*e})[0]; string(got) != string(want) {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// Every field is written, and every one that is empty is left out as its tag says.
func TestEncodingKnowsEveryField(t *testing.T) {
	same(t, new(Event))
	until := time.Date(2026, 11, 26, 8, 0, 0, 5_000, time.FixedZone("", 5400))
	full := reflect.ValueOf(&Event{}).Elem()
	for i := range full.NumField() {
		alone := reflect.New(full.Type()).Elem()
		for _, v := range []reflect.Value{full.Field(i), alone.Field(i)} {
			switch v.Interface().(type) {
			case string, Kind:
				v.SetString("a " + full.Type().Field(i).Name)
			case int:
				v.SetInt(int64(i))
			case float64:
				v.SetFloat(float64(i) + 0.125)
			case bool:
				v.SetBool(true)
			case time.Time:
				v.Set(reflect.ValueOf(until))
			case *time.Time:
				v.Set(reflect.ValueOf(&until))
			default:
				t.Fatalf("a field of type %v", v.Type())
			}
		}
		same(t, alone.Addr().Interface().(*Event))
	}
	same(t, full.Addr().Interface().(*Event))
}

// FuzzEncode holds texts and numbers to what encoding/json makes of them.
func FuzzEncode(f *testing.F) {
	f.Add("banned by mx1 as 192.0.2.0/24", "a<b>&\"\\", 1.5, int64(1_800_000_000_000), 3)
	f.Add("\x00\x1f\x7f\xff\u2028", "é", 1e-7, int64(-1), -1)
	f.Add("", "", math.Inf(1), int64(math.MaxInt64), 0)
	f.Fuzz(func(t *testing.T, a, b string, number float64, at int64, count int) {
		when := time.UnixMilli(at)
		same(t, &Event{At: when.UTC(), Kind: Kind(a), Host: b, Reason: b, Account: a, Points: number, Delay: -number, Count: count, Times: count, Until: &when})
	})
}
