package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/test/fuzzing"
)

// FuzzLoad holds that no file makes the loading panic, that what is accepted
// can be shown and accepted again, and that problems have a line each.
func FuzzLoad(f *testing.F) {
	f.Add(Defaults())
	for _, pattern := range []string{"bad", "good"} {
		paths, err := filepath.Glob("../testdata/configs/" + pattern + "/*.yaml")
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := fromText(text)
		if err != nil {
			if ps := err.(Problems); strings.Count(ps.Error(), "\n")+1 != len(ps) {
				t.Errorf("%d problems are not a line each:\n%q", len(ps), ps.Error())
			}
			return
		}
		var shown bytes.Buffer
		if err := c.Effective(&shown); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(shown.Bytes(), []byte(Masked)) {
			return // a hidden password need not be a valid one
		}
		if _, err := fromText(shown.Bytes()); err != nil {
			t.Errorf("shown as\n%s\nit is wrong:\n%v", shown.Bytes(), err)
		}
	})
}

// fromText loads a file that is nowhere.
func fromText(text []byte) (*Config, error) {
	l := newLoader()
	l.defaults()
	r := l.reader("fuzz.yaml")
	r.document(text, l.root)
	l.merge(r)
	return l.config()
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
