package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func runSetup(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	if code := run(append([]string{"setup"}, args...), &out, &complaints); code != exitOK {
		t.Fatalf("setup %s: exit code %d\n%s", args, code, &complaints)
	}
	return out.String(), complaints.String()
}

// What is printed for the Dovecot and the Postfix of this machine is taken by
// them, and each nonce is another.
func TestSetupForWhatIsHere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, said := runSetup(t, "dovecot")
	if !strings.Contains(said, "Found Dovecot 2.") {
		t.Errorf("it says %s", said)
	}
	nonce := regexp.MustCompile(`(?m)^auth_policy_hash_nonce = ([0-9a-f]{32})$`)
	first := nonce.FindStringSubmatch(text)
	again, _ := runSetup(t, "dovecot")
	second := nonce.FindStringSubmatch(again)
	if first == nil || second == nil || first[1] == second[1] || !strings.Contains(said, first[1]) {
		t.Errorf("nonces %q and %q", first, second)
	}
	out, err := exec.Command("/usr/bin/doveconf", "-n", "-c", write("dovecot.conf", "ssl = no\n"+text)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "auth_policy_server_url = http://127.0.0.1:4001/") {
		t.Errorf("doveconf: %v\n%s", err, out)
	}

	text, said = runSetup(t, "postfix")
	if !strings.Contains(said, "Found Postfix 3.") {
		t.Errorf("it says %s", said)
	}
	main, master, ok := strings.Cut(text, "\n# For /etc/postfix/master.cf")
	if !ok {
		t.Fatalf("there is no part for master.cf:\n%s", text)
	}
	write("main.cf", "compatibility_level = 3.6\n"+main)
	write("master.cf", "# For master.cf"+master)
	out, err = exec.Command("/usr/sbin/postconf", "-c", dir, "-P").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "submission/inet/smtpd_delay_reject = no") {
		t.Errorf("postconf: %v\n%s", err, out)
	}
}

// The address of the administrator's own session is proposed, and nothing that
// is no address.
func TestSetupProposesTheSession(t *testing.T) {
	for session, want := range map[string]string{
		"192.0.2.7 50000 198.51.100.1 22": "192.0.2.7/32", "2001:db8:1:2:3::4 50000 2001:db8::1 22": "2001:db8:1:2::/64",
		"": "", "127.0.0.1 1 127.0.0.1 22": "", "\x1b[31m 1 2 3": "",
	} {
		t.Setenv("SSH_CONNECTION", session)
		t.Setenv("SSH_CLIENT", "")
		for _, args := range [][]string{{}, {"dovecot", "--version", "2.3"}} {
			_, said := runSetup(t, args...)
			if got := strings.Contains(said, "You are logged in from "); got != (want != "") || !strings.Contains(said, want) {
				t.Errorf("%q: %s", session, said)
			}
		}
	}
}

// As JSON everything is one object, with the same texts.
func TestSetupAsJSON(t *testing.T) {
	t.Setenv("SSH_CONNECTION", "192.0.2.7 50000 198.51.100.1 22")
	answer := func(args ...string) (a setupAnswer) {
		t.Helper()
		out, said := runSetup(t, append(args, "-o", "json")...)
		if err := json.Unmarshal([]byte(out), &a); err != nil || said != "" {
			t.Fatalf("%v, beside it %q:\n%s", err, said, out)
		}
		return a
	}
	a := answer("dovecot", "--version", "2.3.19", "--nonce", "00112233445566778899aabbccddeeff")
	text, said := runSetup(t, "dovecot", "--version", "2.3.19", "--nonce", "00112233445566778899aabbccddeeff")
	if a.Version != "2.3.19" || len(a.Files) != 1 || a.Files[0].Path != "/etc/dovecot/conf.d/90-saslguard.conf" || a.Files[0].Text != text || strings.Join(a.Notes, "\n")+"\n" != said || a.Session != "192.0.2.7/32" {
		t.Errorf("%+v", a)
	}
	if a := answer("postfix", "--version", "3.7"); len(a.Files) != 2 || a.Files[1].Path != "/etc/postfix/master.cf" || !strings.Contains(a.Files[1].Text, "check_policy_service") {
		t.Errorf("%+v", a)
	}
	if a := answer(); len(a.Files) < 8 || a.Files[0].Text != "" || a.Files[0].Name == "" {
		t.Errorf("the list: %+v", a)
	}
	if a := answer("grafana"); len(a.Files) != 1 || a.Files[0].Name != "grafana/saslguard.json" || a.Notes == nil {
		t.Errorf("%+v", a.Notes)
	}
}

// Of a version that is not known it is said that it is not.
func TestSetupForUnknownVersions(t *testing.T) {
	for version, want := range map[string]string{"2.4.1": "", "2.5.0": "Dovecot 2.5 is newer", "3.0": "Dovecot 3.0 is newer", "2.3": ""} {
		text, said := runSetup(t, "dovecot", "--version", version)
		if strings.Contains(said, "is newer") != (want != "") || !strings.Contains(said, want) || !strings.Contains(text, "auth_policy_server_url") {
			t.Errorf("%s: %s", version, said)
		}
	}
	var out, complaints bytes.Buffer
	if code := run([]string{"setup", "dovecot", "--version", "2.2"}, &out, &complaints); code != exitFailed || !strings.Contains(complaints.String(), "too old") {
		t.Errorf("2.2: exit code %d, %s", code, &complaints)
	}
	if _, said := runSetup(t, "postfix", "--version", "4.0"); !strings.Contains(said, "Postfix 4 is newer") {
		t.Error(said)
	}
}
