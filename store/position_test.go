package store

import (
	"encoding/json"
	"testing"

	"github.com/saslguard/saslguard/test/fuzzing"
)

func TestPositions(t *testing.T) {
	ordered := []Position{{}, {0, 1}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {1767225600000, 0}, {1<<64 - 1, 1<<64 - 1}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got, want := p.Compare(q), compareInts(i, j); got != want {
				t.Errorf("%v and %v: %d", p, q, got)
			}
		}
		if back, err := ParsePosition(p.String()); back != p || err != nil {
			t.Errorf("%v is read as %v, error %v", p, back, err)
		}
	}
	if got := (Position{5, 3}); got.Next(4) != (Position{5, 4}) || got.Next(5) != (Position{5, 4}) || got.Next(6) != (Position{6, 0}) || got.Next(-1) != (Position{5, 4}) {
		t.Error("a position does not follow another as the ids of a stream do")
	}
	text, err := json.Marshal(map[string]Position{"position": {7, 1}})
	if err != nil || string(text) != `{"position":"7-1"}` {
		t.Errorf("JSON %s, error %v", text, err)
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"", "-", "0-0", "1-2", "01-2", "1767225600000-0", "18446744073709551615-18446744073709551615", "18446744073709551616-0", "1-2-3", "+1-0", "1", "１-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is taken for %v", s, p)
		}
		if err != nil && !p.IsZero() {
			t.Errorf("%q: %v beside an error", s, p)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
