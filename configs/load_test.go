package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// none is an environment without variables; nil would be that of the test.
func none() []string { return []string{} }

// write writes a file below dir and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, opts LoadOptions) *Config {
	t.Helper()
	c, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problemsOf loads what must be wrong.
func problemsOf(t *testing.T, opts LoadOptions) Problems {
	t.Helper()
	_, err := Load(opts)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got error %v, want Problems", err)
	}
	return ps
}

func TestDefaults(t *testing.T) {
	c := Default()
	if c.Mode != Observe || c.Enforcing() {
		t.Errorf("a new installation does not observe: %q", c.Mode)
	}
	if c.Rules.HalfLife != time.Hour || c.Rules.Client.Ban != 20 || c.Rules.Ban.Max != 30*24*time.Hour {
		t.Errorf("rules are not those of saslguard.yaml: %+v", c.Rules)
	}
	if got := c.Postfix.Listen; !reflect.DeepEqual(got, []string{"127.0.0.1:10035"}) {
		t.Errorf("postfix.listen = %q", got)
	}
	if len(c.Postfix.Contexts) != 4 || c.Postfix.Contexts[3].Verdicts != "operator" {
		t.Errorf("postfix.contexts = %v", c.Postfix.Contexts)
	}
}

// TestBadFiles holds every file in testdata/configs/bad to the errors in its
// comments: to all of them, and to no others.
func TestBadFiles(t *testing.T) {
	for _, path := range glob(t, "../testdata/configs/bad/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(text)) {
				if e, ok := strings.CutPrefix(line, "# error: "); ok {
					want = append(want, strings.TrimSpace(e))
				}
			}
			got := problemsOf(t, LoadOptions{File: path, Environ: none()})
			for _, w := range want {
				if !strings.Contains(got.Error(), w) {
					t.Errorf("missing: %s", w)
				}
			}
			if len(want) == 0 || len(got) != len(want) {
				t.Errorf("%d problems, want %d", len(got), len(want))
			}
			if t.Failed() {
				t.Logf("got:\n%s", got)
			}
		})
	}
}

func TestGoodFiles(t *testing.T) {
	for _, path := range glob(t, "../testdata/configs/good/*.yaml") {
		if _, err := Load(LoadOptions{File: path, Environ: none()}); err != nil {
			t.Errorf("%s:\n%v", path, err)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	return paths
}

// TestOrder holds the order of the layers, and that a list replaces a list.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	main := write(t, dir, "saslguard.yaml", `
mode: enforce
rules:
  client: {tarpit: 4, refuse: 11, ban: 21}
  allow_clients: [192.0.2.1, 192.0.2.2]
`)
	write(t, dir, "conf.d/20-b.yaml", "rules: {client: {ban: 23}}\n")
	write(t, dir, "conf.d/10-a.yaml", "rules: {client: {refuse: 12, ban: 22}, allow_clients: [192.0.2.3]}\n")
	write(t, dir, "conf.d/.hidden.yaml", "no such: thing\n")
	write(t, dir, "conf.d/30-c.yml", "mode: observe\n")
	c := mustLoad(t, LoadOptions{
		File:      main,
		Environ:   []string{"SASLGUARD_RULES_CLIENT_TARPIT=5", "SASLGUARD_RULES_HALF_LIFE=2h", "PATH=/bin"},
		Overrides: []Override{{Key: "rules.half_life", Value: "3h"}},
	})
	if got := c.Rules.Client; got.Tarpit != 5 || got.Refuse != 12 || got.Ban != 23 || got.IPv6 != 64 {
		t.Errorf("client = %+v", got)
	}
	if c.Mode != Enforce || c.Rules.HalfLife != 3*time.Hour {
		t.Errorf("mode %s, half_life %s", c.Mode, c.Rules.HalfLife)
	}
	if got := c.Rules.AllowClients; !reflect.DeepEqual(got, []string{"192.0.2.3"}) {
		t.Errorf("allow_clients = %q", got)
	}
	if got := c.Warnings().Error(); !strings.Contains(got, "conf.d/30-c.yml: is not read") {
		t.Errorf("no warning about the .yml: %q", got)
	}
	for key, want := range map[string]string{
		"mode":                   main + ":2",
		"rules.client.refuse":    filepath.Join(dir, "conf.d/10-a.yaml") + ":1",
		"rules.client.ban":       filepath.Join(dir, "conf.d/20-b.yaml") + ":1",
		"rules.client.tarpit":    "environment SASLGUARD_RULES_CLIENT_TARPIT",
		"rules.half_life":        "flag --set rules.half_life=…",
		"rules.allow_clients[0]": filepath.Join(dir, "conf.d/10-a.yaml") + ":1",
		"rules.allow_clients[1]": filepath.Join(dir, "conf.d/10-a.yaml") + ":1",
		"rules.client":           "default",
		"host":                   "default",
	} {
		if got := c.places.of(key).String(); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
}

// TestAllProblems holds that the problems of all layers are told at once, each
// with its place, and in order.
func TestAllProblems(t *testing.T) {
	dir := t.TempDir()
	main := write(t, dir, "saslguard.yaml", "rules:\n  client:\n    ban: 8\n  half_life: 4\nmode: on\n")
	extra := write(t, dir, "conf.d/x.yaml", "colour: blue\n")
	got := problemsOf(t, LoadOptions{
		File:      main,
		Environ:   []string{"SASLGUARD_RULES_BAN_FIRST=soon", "SASLGUARD_RULES_CLIENT_BANN=3"},
		Overrides: []Override{{Flag: "--log-level", Key: "log.level", Value: "loud"}, {Key: "rules.clint.ban", Value: "1"}, {Key: "rules", Value: "x"}},
	})
	want := []string{
		main + ":3: rules.client.ban: 8 is not above",
		main + `:4: rules.half_life: "4" has no unit`,
		main + `:5: mode: "on" is not known; allowed is observe or enforce`,
		extra + ":1: colour: is not known",
		`environment SASLGUARD_RULES_BAN_FIRST: rules.ban.first: "soon" is no time`,
		"environment SASLGUARD_RULES_CLIENT_BANN: is not known; did you mean SASLGUARD_RULES_CLIENT_BAN?",
		`flag --log-level: log.level: "loud" is not known; allowed is debug, info, warn or error`,
		"flag --set rules.clint.ban=…: rules.clint.ban: is not known; did you mean rules.client.ban?",
		"flag --set rules=…: rules: is a section; allowed are the keys in it, such as rules.half_life",
	}
	for i, w := range want {
		if i >= len(got) || !strings.HasPrefix(got[i].String(), w) {
			t.Fatalf("problem %d is not %q in:\n%v", i, w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(got), len(want), got)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	if ps := problemsOf(t, LoadOptions{File: filepath.Join(dir, "missing.yaml"), Environ: none()}); !strings.Contains(ps.Error(), "missing.yaml: cannot be read: no such file") {
		t.Error(ps)
	}
	if ps := problemsOf(t, LoadOptions{File: dir, Environ: none()}); !strings.Contains(ps.Error(), "cannot be read: is a directory") {
		t.Error(ps)
	}
	large := write(t, dir, "large.yaml", "mode: enforce\n"+strings.Repeat("# nothing\n", maxFile/10))
	if ps := problemsOf(t, LoadOptions{File: large, Environ: none()}); !strings.Contains(ps.Error(), "large.yaml: is too large; allowed is at most 1024 KiB") {
		t.Error(ps)
	}
	garbage := write(t, dir, "garbage.yaml", strings.Repeat("a", 100)+": 1\n"+strings.Repeat("k: v\n", 100000))
	ps := problemsOf(t, LoadOptions{File: garbage, Environ: none()})
	if len(ps) != maxProblems+1 || !strings.Contains(ps[maxProblems].Text, "more problems are not shown") {
		t.Errorf("%d problems, the last one %v", len(ps), ps[len(ps)-1])
	}
}

// TestReadableSecret holds the warning about a secret that everybody can read.
func TestReadableSecret(t *testing.T) {
	path := write(t, t.TempDir(), "saslguard.yaml", "dovecot:\n  api_key: 0123456789abcdef0123456789abcdef\n")
	for mode, want := range map[os.FileMode]bool{0o644: true, 0o640: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got := mustLoad(t, LoadOptions{File: path, Environ: none()}).Warnings().Error()
		if strings.Contains(got, path+":2: dovecot.api_key: everybody on this host can read") != want {
			t.Errorf("mode %o: %q", mode, got)
		}
	}
}

func TestNobodyCanAsk(t *testing.T) {
	c := mustLoad(t, LoadOptions{Environ: []string{"SASLGUARD_POSTFIX_LISTEN=", "SASLGUARD_DOVECOT_LISTEN="}})
	if got := c.Warnings().Error(); !strings.Contains(got, "environment SASLGUARD_POSTFIX_LISTEN: postfix.listen: neither Postfix nor Dovecot can ask") {
		t.Errorf("got %q", got)
	}
}
