package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/configs"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "mode: enforce\ndovecot: {api_key: sesame}\n")
	bad := write("bad.yaml", "mode: enforce\nrules:\n  client: {ban: 5}\n")
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", exitOK, "Usage:", ""},
		{"--help", exitOK, "saslguard serve --enforce", ""},
		{"--version", exitOK, "saslguard devel", ""},
		{"serve --help", exitOK, "SIGHUP", ""},
		{"config --help", exitOK, "config defaults", ""},
		{"config check " + good, exitOK, "the configuration is right", ""},
		{"config check --config " + good, exitOK, "the configuration is right", ""},
		{"config check " + bad, exitConfig, "", bad + ":3: rules.client.ban:"},
		{"config check " + bad + " --set rules.client.ban=25", exitOK, "right", ""},
		{"config check " + dir + "/none.yaml", exitConfig, "", "none.yaml"},
		{"config check a b", exitUsage, "", "one file"},
		{"config show -c " + good, exitOK, "mode: enforce # " + good + ":1", ""},
		{"config show -c " + good, exitOK, "api_key: (hidden) #", ""},
		{"config show --set mode", exitUsage, "", "key=value"},
		{"config show --set mode=perhaps", exitConfig, "", "flag --set"},
		{"config defaults", exitOK, string(configs.Defaults()), ""},
		{"config nonsense", exitUsage, "", "nonsense"},
		{"setup", exitOK, "dovecot/2.3/90-saslguard.conf\n", ""},
		{"setup postfix/master.cf", exitOK, "check_policy_service", ""},
		{"setup etc/passwd", exitUsage, "", "etc/passwd"},
		{"setup a b", exitUsage, "", "one file"},
		{"serve --nonsense", exitUsage, "", "nonsense"},
		{"serve --enforce --observe", exitUsage, "", "enforce"},
		{"serve now", exitUsage, "", "now"},
		{"nonsense", exitUsage, "", "nonsense"},
		{"serve --config " + bad, exitConfig, "", "rules.client.ban"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(strings.Fields(c.args), &stdout, &stderr)
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, &stdout, &stderr)
			}
		})
	}
}

// Every command has a description and examples.
func TestEveryCommandIsExplained(t *testing.T) {
	root := newRoot(&bytes.Buffer{}, &bytes.Buffer{})
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		for _, c := range append(c.Commands(), c) {
			if c.Short == "" || c.Example == "" {
				t.Errorf("%s has no description or no example", c.CommandPath())
			}
		}
	}
}
