package admin

import (
	"strings"
	"testing"
)

func TestConfigCheck(t *testing.T) {
	for listen, want := range map[string]string{
		"":                 "",
		"127.0.0.1:4002":   "",
		"127.8.8.8:4002":   "",
		"[::1]:4002":       "",
		"localhost:4002":   "",
		"127.0.0.1":        "is no address",
		"127.0.0.1:http":   "no port between",
		"127.0.0.1:0":      "no port between",
		"127.0.0.1:65536":  "no port between",
		":4002":            "not on loopback",
		"0.0.0.0:4002":     "not on loopback",
		"192.0.2.1:4002":   "not on loopback",
		"example.org:4002": "not on loopback",
		"unix:/run/x.sock": "no port between",
	} {
		var got []string
		(&Config{Listen: listen}).Check(func(key, text string) {
			if !strings.Contains(text, "allowed is host:port") {
				t.Errorf("%q: %s says not what is allowed", listen, text)
			}
			got = append(got, key+": "+text)
		})
		if want == "" && len(got) > 0 || want != "" && !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q: got %q, want %q", listen, got, want)
		}
	}
}
