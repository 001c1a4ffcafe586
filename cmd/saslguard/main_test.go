package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	exposed := write("exposed.yaml", "postfix: {listen: [\"0.0.0.0:10035\"], allow_from: [\"0.0.0.0/0\"]}\n")
	missing := write("missing.yaml", "dovecot: {tls_cert: /nonexistent/cert.pem, tls_key: /nonexistent/key.pem}\n")
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
		{"config check " + good, exitOK, "the configuration is right (" + good + ")\n", ""},
		{"config check " + good + " --set host=mx1", exitOK, "(" + good + ", 1 value from flags)", ""},
		{"config check --config=", exitUsage, "", "the name of the file is empty\nTry: saslguard config check --help\n"},
		{"config check " + missing, exitConfig, "", missing + ":1: dovecot.tls_cert: cannot be read: /nonexistent/cert.pem"},
		{"serve --config " + missing, exitConfig, "", missing + ":1: dovecot.tls_cert: cannot be read: /nonexistent/cert.pem"},
		{"config check --config " + good, exitOK, "the configuration is right", ""},
		{"config check " + bad, exitConfig, "", "saslguard: the configuration is wrong:\n" + bad + ":3: rules.client.ban:"},
		{"config check " + bad + " --set rules.client.ban=25", exitOK, "right", ""},
		{"config check " + dir + "/none.yaml", exitConfig, "", "none.yaml"},
		{"config check a b", exitUsage, "", "one file"},
		{"config show -c " + good, exitOK, "mode: enforce # " + good + ":1", ""},
		{"config show -c " + good, exitOK, "api_key: (hidden) #", ""},
		{"config show --set mode", exitUsage, "", "key=value"},
		{"config show --set mode=perhaps", exitConfig, "", "flag --set mode=…: mode:"},
		{"config defaults", exitOK, string(configs.Defaults()), ""},
		{"config nonsense", exitUsage, "", "nonsense"},
		{"setup", exitOK, "dovecot/2.3/90-saslguard.conf\n", ""},
		{"setup grafana", exitOK, `"uid": "saslguard"`, ""},
		{"setup prometheus", exitOK, "alert: SaslguardDown", ""},
		{"setup postfix/master.cf", exitOK, "check_policy_service", ""},
		{"setup etc/passwd", exitUsage, "", "etc/passwd"},
		{"setup nope", exitUsage, "", "\n  postfix/main.cf\n  postfix/master.cf\n"},
		{"setup dovecot/2.3", exitOK, "dovecot/2.3/90-saslguard.conf\n", ""},
		{"setup dovecot/", exitOK, "dovecot/2.3/90-saslguard.conf\ndovecot/2.4/90-saslguard.conf\n", ""},
		{"setup a b", exitUsage, "", "one file"},
		{"setup postfix --version 3.7.11", exitOK, "\n  -o { smtpd_client_restrictions = check_policy_service { inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=submission } }\n", "saslguard doctor"},
		{"setup postfix --version 3.0.3", exitOK, "timeout=3s, default_action=DUNNO } }\n", "knows no policy_context"},
		{"setup postfix --version 2.11.3", exitFailed, "", "it takes 3.0"},
		{"setup postfix --version lots", exitUsage, "", "\"lots\" is no version"},
		{"setup postfix --version 3.8 --set postfix.listen=unix:/var/spool/postfix/private/saslguard", exitOK, "check_policy_service { unix:private/saslguard, timeout=3s", ""},
		{"setup postfix --nonce x", exitUsage, "", "--nonce is Dovecot's"},
		{"setup dovecot --version 2.3.21 --nonce 00112233445566778899aabbccddeeff", exitOK, "auth_policy_hash_nonce = 00112233445566778899aabbccddeeff\n", "chmod 600"},
		{"setup dovecot --version 2.4.1-4 --set dovecot.listen=10.0.0.1:4001 --set dovecot.api_key=sesame", exitOK, "http_client_request_absolute_timeout", "It is not printed here"},
		{"setup dovecot --version 2.3 --set dovecot.listen=127.0.0.1:4009", exitOK, "auth_policy_server_url = http://127.0.0.1:4009/\n", "All hosts need the same"},
		{"setup dovecot --version 2.2", exitFailed, "", "it takes 2.3"},
		{"setup dovecot --version 2.3 --nonce short", exitUsage, "", "16 to 256 printable"},
		{"setup dovecot --version 2.3 --config " + bad, exitOK, "auth_policy_server_url = http://127.0.0.1:4001/\n", "these are the default addresses"},
		{"setup systemd --version 229", exitOK, "\n# /etc/systemd/system/saslguard-dovecot.socket\n", "does not know StateDirectory="},
		{"setup postfix/main.cf --version 3.7", exitUsage, "", "as they are shipped"},
		{"doctor --output xml", exitUsage, "", "table or json"},
		{"doctor --only nonsense", exitUsage, "", "there is no finding \"nonsense\"; allowed is config,"},
		{"doctor --set mode", exitUsage, "", "key=value"},
		{"doctor --help", exitOK, "3 warnings, 4 errors", ""},
		{"doctor --only config --config " + bad, exitErrors, "error    config (" + bad + ":3): rules.client.ban", ""},
		{"doctor --only config --config " + good, exitOK, "ok       config: the configuration is right", ""},
		{"doctor --only config-hints --config " + exposed, exitWarnings, "warning  config-hints (" + exposed + ":1): postfix.allow_from", ""},
		{"serve --nonsense", exitUsage, "", "Try: saslguard serve --help\n"},
		{"serve --enforce=no", exitUsage, "", "--enforce \"no\": it is true or false"},
		{"serve --help", exitOK, "--log-level level", ""},
		{"--help", exitOK, "SASLGUARD_RULES_CLIENT_BAN", ""},
		{"config defaults --help", exitOK, "install -d /etc/saslguard\n", ""},
		{"serve --enforce --observe", exitUsage, "", "enforce"},
		{"serve now", exitUsage, "", "now"},
		{"nonsense", exitUsage, "", "Try: saslguard --help\n"},
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

func TestHealth(t *testing.T) {
	state := "degraded"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"state":%q,"version":"1","mode":"observe","parts":[{"name":"redis","state":%q,"detail":"does not answer"}]}`, state, state)
	}))
	defer server.Close()
	ask := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"health", "--set", "admin.listen=" + strings.TrimPrefix(server.URL, "http://")}, args...), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	if code, out := ask(); code != exitOK || !strings.Contains(out, "redis      degraded  does not answer") {
		t.Errorf("degraded: %d %s", code, out)
	}
	if code, out := ask("-o", "json"); code != exitOK || !strings.Contains(out, `"state": "degraded"`) {
		t.Errorf("json: %d %s", code, out)
	}
	if code, out := ask("-o", "xml"); code != exitUsage || !strings.Contains(out, "table or json") {
		t.Errorf("xml: %d %s", code, out)
	}
	state = "failing"
	if code, out := ask(); code != exitFailed {
		t.Errorf("failing: %d %s", code, out)
	}
	server.Close()
	if code, out := ask(); code != exitFailed || !strings.Contains(out, "no saslguard answers") {
		t.Errorf("nobody there: %d %s", code, out)
	}
}
