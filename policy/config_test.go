package policy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // "key: part of the text", "" for no problem
	}{
		{"typical", func(c *Config) {}, ""},
		{"521", func(c *Config) { c.RefuseCode, c.RefuseText = 521, "5.7.1 Banned" }, ""},
		{"no contexts", func(c *Config) { c.Contexts = nil }, ""},
		{"listen", func(c *Config) { c.Listen = []string{"nowhere"} }, "listen[0]: neither"},
		{"exposed", func(c *Config) { c.Listen = []string{"127.0.0.1:1", "192.0.2.1:10035"} }, "allow_from: others can reach listen, 192.0.2.1:10035"},
		{"exposed to some", func(c *Config) { c.Listen, c.AllowFrom = []string{":10035"}, []string{"192.0.2.10", "2001:db8::/64"} }, ""},
		{"no network", func(c *Config) { c.AllowFrom = []string{"192.0.2.1/24"} }, "allow_from[0]: host bits"},
		{"101 networks", func(c *Config) { c.AllowFrom = slices.Repeat([]string{"192.0.2.1"}, 101) }, "allow_from: at most 100"},
		{"another code", func(c *Config) { c.RefuseCode = 554 }, "refuse_code: neither 421 nor 521"},
		{"no code", func(c *Config) { c.RefuseCode = 0 }, "refuse_code: neither 421 nor 521"},
		{"no text", func(c *Config) { c.RefuseText = "" }, "refuse_text: permits on a bare 421"},
		{"blank text", func(c *Config) { c.RefuseText = "  " }, "refuse_text: enhanced status code"},
		{"no status", func(c *Config) { c.RefuseText = "Go away" }, "refuse_text: 4.7.0"},
		{"status alone", func(c *Config) { c.RefuseText = "4.7.0" }, "refuse_text: no text"},
		{"status and blank", func(c *Config) { c.RefuseText = "4.7.0  " }, "refuse_text: no text"},
		{"trailing space", func(c *Config) { c.RefuseText = "4.7.0 Go away " }, "refuse_text: too many spaces"},
		{"leading space", func(c *Config) { c.RefuseText = " 4.7.0 Go away" }, "refuse_text: enhanced status code"},
		{"5 with 421", func(c *Config) { c.RefuseText = "5.7.1 Go away" }, "refuse_text: 4.7.0, which 421 needs"},
		{"4 with 521", func(c *Config) { c.RefuseCode = 521 }, "refuse_text: 5.7.0, which 521 needs"},
		{"long subject", func(c *Config) { c.RefuseText = "4.7777.0 Go away" }, "refuse_text: enhanced status code"},
		{"two lines", func(c *Config) { c.RefuseText = "4.7.0 Go\naway" }, "refuse_text: one line"},
		{"CR", func(c *Config) { c.RefuseText = "4.7.0 Go away\r" }, "refuse_text: one line"},
		{"not ASCII", func(c *Config) { c.RefuseText = "4.7.0 Zurück" }, "refuse_text: ASCII"},
		{"200 bytes", func(c *Config) { c.RefuseText = "4.7.0 " + strings.Repeat("x", 194) }, ""},
		{"201 bytes", func(c *Config) { c.RefuseText = "4.7.0 " + strings.Repeat("x", 195) }, "refuse_text: at most 200"},
		{"context without name", func(c *Config) { c.Contexts[0].Name = "" }, "contexts[0].name: printable"},
		{"context with a space", func(c *Config) { c.Contexts[0].Name = "a b" }, "contexts[0].name: printable"},
		{"long context", func(c *Config) { c.Contexts[0].Name = strings.Repeat("x", 65) }, "contexts[0].name: printable"},
		{"context twice", func(c *Config) { c.Contexts[1].Name = "submission" }, "contexts[1].name: twice"},
		{"verdicts", func(c *Config) { c.Contexts[2].Verdicts = "none" }, "contexts[2].verdicts: allowed is all or operator"},
		{"101 contexts", func(c *Config) {
			c.Contexts = nil
			for i := range 101 {
				c.Contexts = append(c.Contexts, Context{"context" + string(rune('0'+i)), "all"})
			}
		}, "contexts: at most 100"},
		{"no connections", func(c *Config) { c.MaxConnections = 0 }, "max_connections: 1 to 100000"},
		{"too many connections", func(c *Config) { c.MaxConnections = 100_001 }, "max_connections: 1 to 100000"},
		{"small requests", func(c *Config) { c.MaxRequest = 4095 }, "max_request: 4096 to 1048576"},
		{"large requests", func(c *Config) { c.MaxRequest = 1<<20 + 1 }, "max_request: 4096 to 1048576"},
		{"4 nanoseconds", func(c *Config) { c.IdleTimeout = 4 }, "idle_timeout: 1s to 24h"},
		{"long idle", func(c *Config) { c.IdleTimeout = 25 * time.Hour }, "idle_timeout: 1s to 24h"},
		{"no read timeout", func(c *Config) { c.ReadTimeout = 0 }, "read_timeout: 100ms to 1m"},
		{"long read timeout", func(c *Config) { c.ReadTimeout = time.Hour }, "read_timeout: 100ms to 1m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig()
			test.change(&cfg)
			var got []string
			cfg.Check(func(key, text string) { got = append(got, key+": "+text) })
			key, text, _ := strings.Cut(test.want, ": ")
			switch {
			case test.want == "" && len(got) != 0:
				t.Errorf("got %q, want no problem", got)
			case test.want != "" && (len(got) == 0 || !strings.HasPrefix(got[0], key+": ") || !strings.Contains(got[0], text)):
				t.Errorf("got %q, want %q", got, test.want)
			}
			if _, err := New(cfg, &fakeJudge{}, Options{}); (err != nil) != (len(got) > 0) {
				t.Errorf("New: %v, although Check finds %q", err, got)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	cfg := testConfig()
	cfg.IdleTimeout = 330 * time.Second
	cfg.Listen = []string{"127.0.0.1:10035", "unix:/run/saslguard/policy"}
	warnings := func() (got []string) {
		cfg.Warnings(func(key, text string) { got = append(got, key+": "+text) })
		return got
	}
	if got := warnings(); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
	cfg.IdleTimeout = time.Minute
	cfg.Listen = append(cfg.Listen, ":10035")
	cfg.AllowFrom = []string{"192.0.2.0/24", "0.0.0.0/0"}
	if got := warnings(); len(got) != 2 || !strings.HasPrefix(got[0], "allow_from[1]: 0.0.0.0/0 is everybody") || !strings.HasPrefix(got[1], "idle_timeout: 1m0s is short") {
		t.Errorf("got %q", got)
	}
}
