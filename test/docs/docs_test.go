package docs

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/pages"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(lab.Main(m))
}

// TestCommandsExist holds that every command and flag that a document names is there.
func TestCommandsExist(t *testing.T) {
	tree := commands(t, lab.Build(t))
	if len(tree.children) < 15 || !tree.children["serve"].flags["--config"] {
		t.Fatalf("the help was not understood: %d commands", len(tree.children))
	}
	n := 0
	for _, p := range pages.All(t) {
		run, named := invocations(&p)
		for _, c := range slices.Concat(run, named) {
			n++
			if path, wrong := tree.check(c.args); wrong != "" {
				t.Errorf("%s:%d: saslguard %s: there is no %s in saslguard %s", c.page, c.line, strings.Join(c.args, " "), wrong, strings.Join(path, " "))
			}
		}
		for _, s := range p.Spans() { // a command or flag by itself
			if regexp.MustCompile(`^--[a-z-]+`).MatchString(s) {
				name, _, _ := strings.Cut(strings.Fields(s)[0], "=")
				if !tree.anywhere(name) && !foreignFlag(name) {
					t.Errorf("%s: no command has the flag %s", p.Path, name)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d commands were found in the documents", n)
	}
}

// anywhere tells whether any command has a flag.
func (c *command) anywhere(name string) bool {
	if _, ok := c.flags[name]; ok {
		return true
	}
	for _, child := range c.children {
		if child.anywhere(name) {
			return true
		}
	}
	return false
}

// foreignFlag tells whether a flag is another program's, as of test/bench.
func foreignFlag(name string) bool { return slices.Contains([]string{"--strict"}, name) }

// keys are all keys of the configuration, sections included.
func keys(t *testing.T) map[string]bool {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(configs.Defaults(), &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	var walk func(n *yaml.Node, before string)
	walk = func(n *yaml.Node, before string) {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			key := before + n.Content[i].Value
			all[key] = true
			walk(n.Content[i+1], key+".")
		}
	}
	walk(doc.Content[0], "")
	return all
}

// TestKeysExist holds that every key of the configuration that a document names is
// one, also as a variable of the environment.
func TestKeysExist(t *testing.T) {
	all := keys(t)
	variables := map[string]bool{}
	for key := range all {
		variables["SASLGUARD_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
	}
	dotted := regexp.MustCompile(`^([a-z_]+)(\.[a-z0-9_]+)+`)
	variable := regexp.MustCompile(`\bSASLGUARD_[A-Z0-9_]+\b`)
	for _, p := range pages.All(t) {
		for _, s := range p.Spans() {
			key := dotted.FindString(s)
			section, _, _ := strings.Cut(key, ".")
			file := regexp.MustCompile(`\.(md|go|json|log|sock|yaml|conf|db|socket|service|key|secret|token|warn|txt|sh)$`).MatchString(key)
			if key == "" || !all[section] || file || all[key] {
				continue
			}
			if slices.Contains([]string{"postfix.example.org", "firewall.sock"}, key) {
				continue
			}
			t.Errorf("%s: there is no key %s", p.Path, key)
		}
		for _, v := range variable.FindAllString(p.Text, -1) {
			if !variables[v] {
				t.Errorf("%s: no key has the variable %s", p.Path, v)
			}
		}
	}
}

// TestMetricsExist holds that every metric that a document names is in the list of
// docs/metrics.md, which another test holds to those that there are.
func TestMetricsExist(t *testing.T) {
	list, err := os.ReadFile(filepath.Join(pages.Root, "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages.All(t) {
		for _, s := range p.Spans() {
			if m := regexp.MustCompile(`^saslguard_[a-z_]+`).FindString(s); m != "" && !strings.Contains(string(list), "`"+m+"`") {
				t.Errorf("%s: there is no metric %s", p.Path, m)
			}
		}
	}
}

// TestLinksResolve holds that links between documents lead somewhere, and that files
// of this repository that are named are there.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	file := regexp.MustCompile(`^(?:docs|configs|test|testdata|cmd|daemon|admin|guard|score|store|policy|dovecotpolicy|maillog|firewall|notify|enrich|eventlog|listen|replay|doctor)/[\w./-]*$`)
	all := pages.All(t)
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.Prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := p.Path
			if target != "" {
				path = filepath.Join(filepath.Dir(p.Path), target)
			}
			if _, err := os.Stat(filepath.Join(pages.Root, path)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", p.Path, m[1])
				continue
			}
			i := slices.IndexFunc(all, func(other pages.Page) bool { return other.Path == path })
			if anchor != "" && (i < 0 || !anchors(&all[i])[anchor]) {
				t.Errorf("%s: %s has no heading #%s", p.Path, path, anchor)
			}
		}
		for _, s := range p.Spans() {
			if !file.MatchString(s) || s == "testdata/fuzz" { // of each package
				continue
			}
			if _, err := os.Stat(filepath.Join(pages.Root, s)); err != nil {
				if _, err := os.Stat(filepath.Join(pages.Root, filepath.Dir(p.Path), s)); err != nil && !snippet(s) {
					t.Errorf("%s: there is no file %s", p.Path, s)
				}
			}
		}
	}
}

// snippet tells whether saslguard setup prints a file of that name.
func snippet(name string) bool {
	_, err := configs.Snippet(name)
	return err == nil
}

// anchors are the headings of a page, as they are linked to.
func anchors(p *pages.Page) map[string]bool {
	all := map[string]bool{}
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(p.Text) {
		if title := strings.TrimLeft(line, "#"); title != line {
			text := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all[strings.ReplaceAll(text, " ", "-")] = true
		}
	}
	return all
}

// TestExamplesLoad holds that every example of a configuration passes `config check`.
func TestExamplesLoad(t *testing.T) {
	all, bin, dir := keys(t), lab.Build(t), etc(t)
	n := 0
	for _, p := range pages.All(t) {
		for _, b := range p.Blocks {
			text := b.Before(func(line string) bool { return strings.HasPrefix(line, "$ ") || prompt.MatchString(line) })
			first := regexp.MustCompile(`^([a-z_]+):(\s|$)`).FindStringSubmatch(text)
			if first == nil || !all[first[1]] {
				continue
			}
			n++
			path := filepath.Join(t.TempDir(), "saslguard.yaml")
			text = strings.ReplaceAll(text, "/etc/saslguard/", dir+"/")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(bin, "config", "check", path).CombinedOutput(); err != nil {
				t.Errorf("%s:%d: the example is no configuration:\n%s\n%s", p.Path, b.Line, text, out)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d examples were found", n)
	}
}

// etc is a directory with what examples name in /etc/saslguard.
func etc(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cert := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=mx1.example.org", "-keyout", "tls.key", "-out", "tls.crt")
	cert.Dir = dir
	if out, err := cert.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"grafana.token": "0123456789abcdef0123456789abcdef", "desk.token": "0123456789abcdef0123456789abcdee",
		"webhook.secret": "0123456789abcdef0123456789abcdef", "redis.password": "0123456789abcdef",
		"notify.urls": "smtp://127.0.0.1:25/?from=saslguard@example.org&to=postmaster@example.org",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"tls.crt": "ca.crt"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCommandsRun runs every command of the documents that is whole and ends, over a
// saslguard of its own. None may be a wrong command line.
func TestCommandsRun(t *testing.T) {
	bin, dir := lab.Build(t), lab.Dir(t)
	tree := commands(t, bin)
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)) }
	env := []string{"HOME=" + dir, "RUNTIME_DIRECTORY=" + dir, "STATE_DIRECTORY=" + dir, "SASLGUARD_ADMIN_LISTEN=" + addr()}
	serving := lab.StartProcess(t, bin, []string{"serve", "--set", "postfix.listen=" + addr(), "--set", "dovecot.listen=" + addr()}, env)
	if _, err := serving.WaitLine("metrics and health", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, p := range pages.All(t) {
		run, named := invocations(&p)
		for _, c := range slices.Concat(run, named) {
			line := strings.Join(c.args, " ")
			path, _ := tree.check(c.args)
			if c.line == 0 && (len(path) == len(c.args) || tree.wants(path, c.args[len(c.args)-1])) {
				continue // prose speaks of the command, or of the flag, as such
			}
			if len(path) == 0 || ran[line] || slices.ContainsFunc(c.args, placeholder) || !ends(path, c.args) {
				continue
			}
			ran[line] = true
			cmd := exec.CommandContext(t.Context(), bin, c.args...)
			cmd.Dir = pages.Root
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			switch code := cmd.ProcessState.ExitCode(); {
			case err != nil && code < 0:
				t.Errorf("%s:%d: saslguard %s: %v", c.page, c.line, line, err)
			case code == 2 || code == 78:
				t.Errorf("%s:%d: saslguard %s ends with exit code %d:\n%s", c.page, c.line, line, code, out)
			}
		}
	}
	if len(ran) < 40 {
		t.Errorf("only %d commands were run: %q", len(ran), slices.Sorted(maps.Keys(ran)))
	}
}

// wants tells whether a word is a flag of a command that takes a value.
func (c *command) wants(path []string, word string) bool {
	for _, name := range path {
		if c = c.children[name]; c == nil {
			return false
		}
	}
	return c.flags[word]
}

// ends tells whether a command ends by itself, and needs nothing but a saslguard.
func ends(path, args []string) bool {
	switch path[0] {
	case "serve", "watch":
		return false
	case "firewall":
		return false // its tests are in namespaces
	}
	for _, arg := range args {
		// Files and hosts that are not here.
		if strings.HasPrefix(arg, "/var/log") || strings.HasPrefix(arg, "/etc") || strings.HasSuffix(arg, ".token") ||
			strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "$") || arg == "mail.log" || arg == "--from" || arg == "-" {
			return false
		}
	}
	return true
}
