package configs

import "testing"

func TestSources(t *testing.T) {
	dir := t.TempDir()
	main := write(t, dir, "saslguard.yaml", "mode: enforce\n")
	write(t, dir, "conf.d/a.yaml", "")
	write(t, dir, "conf.d/b.yaml", "host: mx1\n")
	for want, opts := range map[string]LoadOptions{
		main + ", 2 files of conf.d, 1 value from the environment": {File: main, Environ: []string{"SASLGUARD_HOST=mx2", "HOME=/"}},
		main + ", 2 files of conf.d, 2 values from flags": {File: main, Environ: none(), Overrides: []Override{
			{Key: "host", Value: "mx2"}, {Key: "mode", Value: "observe"}}},
	} {
		if got := mustLoad(t, opts).Sources(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, s := range map[string]sources{
		"no file: all defaults":                  {},
		"no file, 1 value from flags":            {flags: 1},
		"no file, 3 values from the environment": {variables: 3},
		"/etc/saslguard.yaml, 1 file of conf.d":  {file: "/etc/saslguard.yaml", dropIns: 1},
		"/etc/saslguard.yaml":                    {file: "/etc/saslguard.yaml"},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestTextOfLists holds what is taken for a list in the environment and flags.
func TestTextOfLists(t *testing.T) {
	for value, want := range map[string][]string{
		"":                           {},
		"[]":                         {},
		" [ ] ":                      {},
		"a":                          {"a"},
		"a, b,,c":                    {"a", "b", "c"},
		"[a, b]":                     {"a", "b"},
		`["127.0.0.0/8", '::1/128']`: {"127.0.0.0/8", "::1/128"},
		"[::1]:25,127.0.0.1:25":      {"[::1]:25", "127.0.0.1:25"},
		"[[::1]:25, [::2]:25]":       {"[::1]:25", "[::2]:25"},
		`"`:                          {`"`},
	} {
		got := split(value)
		if len(got) != len(want) {
			t.Errorf("%q: got %q, want %q", value, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%q: got %q, want %q", value, got, want)
			}
		}
	}
}

// TestHiddenSecret holds that what stands for a secret is taken from nowhere.
func TestHiddenSecret(t *testing.T) {
	for _, opts := range []LoadOptions{
		{Environ: []string{"SASLGUARD_DOVECOT_NONCE=" + Masked}},
		{Environ: none(), Overrides: []Override{{Key: "dovecot.nonce", Value: Masked}}},
	} {
		if got := problemsOf(t, opts); len(got) != 1 || got[0].Key != "dovecot.nonce" {
			t.Errorf("got %v", got)
		}
	}
	// It is no secret, and may be what somebody calls his host.
	if ps := problemsOf(t, LoadOptions{Environ: []string{"SASLGUARD_HOST=(hid den)"}}); len(ps) != 1 {
		t.Errorf("got %v", ps)
	}
}
