package configs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSnippets(t *testing.T) {
	want := []string{
		"dovecot/2.3/90-saslguard.conf", "dovecot/2.4/90-saslguard.conf", "grafana/saslguard.json", "postfix/main.cf", "postfix/master.cf",
		"prometheus/alerts.yml",
		"saslguard.yaml", "systemd/saslguard-control.socket", "systemd/saslguard-dovecot.socket", "systemd/saslguard-firewall.service",
		"systemd/saslguard-postfix-chroot.socket", "systemd/saslguard-postfix.socket", "systemd/saslguard.service",
	}
	if got := Snippets(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range Snippets() {
		text := snippet(t, name)
		begin := "# "
		if strings.HasSuffix(name, ".json") {
			begin = "{" // JSON has no comments
		}
		if !strings.HasPrefix(text, begin) || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s does not begin with a comment, or not end with a line", name)
		}
		if strings.Contains(text, "\t") || strings.Contains(text, "\r") {
			t.Errorf("%s has tabs or carriage returns", name)
		}
	}
	if got := SnippetsBelow("dovecot/2.3/"); !slices.Equal(got, want[:1]) || len(SnippetsBelow("dov")) > 0 {
		t.Errorf("below dovecot/2.3: %q", got)
	}
	if _, err := Snippet("postfix/none"); err == nil || !strings.Contains(err.Error(), "\n  postfix/main.cf\n") {
		t.Errorf("no error that names the snippets: %v", err)
	}
}

func snippet(t *testing.T, name string) string {
	t.Helper()
	text, err := Snippet(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// program finds a program, also where a user's PATH does not look, and fails
// the test when it is missing: a snippet that nobody has tried is worth nothing.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("%s is missing; install what the tests need: apt-get install postfix dovecot-core", name)
	return ""
}

// quiet runs a command that has to succeed without a word on standard error,
// and returns what it wrote.
func quiet(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%s: %v\n%s", cmd, err, complaints.String())
	}
	return out.String()
}

// TestPostfixTakesSnippets has the real Postfix read what is shipped: alone,
// and a typing error must be noticed, or the test would prove nothing.
func TestPostfixTakesSnippets(t *testing.T) {
	postconf := program(t, "postconf")
	dir := t.TempDir()
	write(t, dir, "main.cf", "compatibility_level = 3.6\n"+snippet(t, "postfix/main.cf"))
	write(t, dir, "master.cf", snippet(t, "postfix/master.cf"))

	settings := quiet(t, postconf, "-c", dir, "-n")
	if want := "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated"; !strings.Contains(settings, want) {
		t.Errorf("postconf -n lacks %q:\n%s", want, settings)
	}
	overrides := quiet(t, postconf, "-c", dir, "-P")
	for _, context := range []string{"submission", "submissions", "mx"} {
		service := map[string]string{"mx": "smtp"}[context]
		if service == "" {
			service = context
		}
		want := service + "/inet/smtpd_client_restrictions = check_policy_service { inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=" + context + " }"
		if !strings.Contains(overrides, want) {
			t.Errorf("postconf -P lacks %q:\n%s", want, overrides)
		}
		if asked := strings.Contains(overrides, service+"/inet/smtpd_delay_reject = no"); asked != (context != "mx") {
			t.Errorf("%s: smtpd_delay_reject=no is %t", service, asked)
		}
		if asked := strings.Contains(overrides, service+"/inet/smtpd_helo_restrictions ="); asked != (context != "mx") {
			t.Errorf("%s: an empty smtpd_helo_restrictions is %t", service, asked)
		}
	}
	if strings.Contains(overrides, "smtpd_sender_restrictions") {
		t.Errorf("an administrator's sender restrictions, such as reject_sender_login_mismatch, are switched off:\n%s", overrides)
	}
	if got := strings.Count(quiet(t, postconf, "-c", dir, "-M"), "\n"); got < 3 {
		t.Errorf("postconf -M lists %d lines", got)
	}

	write(t, dir, "main.cf", snippet(t, "postfix/main.cf")+"smtpd_relay_restriction = reject\n")
	if out, _ := exec.Command(postconf, "-c", dir, "-n").CombinedOutput(); !strings.Contains(string(out), "unused parameter") {
		t.Errorf("postconf does not notice a typing error: %s", out)
	}
}

// TestSnippetsFitDefaults holds addresses and contexts of the snippets to the
// defaults, with which they have to work as they are.
func TestSnippetsFitDefaults(t *testing.T) {
	c := Default()
	master := snippet(t, "postfix/master.cf")
	for _, m := range regexp.MustCompile(`(?m)^ .*inet:([0-9.:]+),.*policy_context=(\w+)`).FindAllStringSubmatch(master, -1) {
		if !slices.Contains(c.Postfix.Listen, m[1]) {
			t.Errorf("master.cf asks %s, and postfix.listen is %q", m[1], c.Postfix.Listen)
		}
		known := false
		for _, context := range c.Postfix.Contexts {
			known = known || context.Name == m[2]
		}
		if !known {
			t.Errorf("master.cf has the context %s, and postfix.contexts is %v", m[2], c.Postfix.Contexts)
		}
	}
	for _, name := range []string{"dovecot/2.3/90-saslguard.conf", "dovecot/2.4/90-saslguard.conf"} {
		if want := "auth_policy_server_url = http://" + c.Dovecot.Listen[0] + "/\n"; !strings.Contains(snippet(t, name), want) {
			t.Errorf("%s lacks %q", name, want)
		}
	}
	for name, address := range map[string]string{"postfix": c.Postfix.Listen[0], "dovecot": c.Dovecot.Listen[0]} {
		socket := snippet(t, "systemd/saslguard-"+name+".socket")
		if !strings.Contains(socket, "\nListenStream="+address+"\n") || !strings.Contains(socket, "\nFileDescriptorName="+name+"\n") {
			t.Errorf("saslguard-%s.socket is not for %s", name, address)
		}
	}
}

// TestDovecotTakesSnippet has the Dovecot that is here, 2.3 or 2.4, read what is shipped
// for it.
func TestDovecotTakesSnippet(t *testing.T) {
	doveconf := program(t, "doveconf")
	dir := t.TempDir()
	version, begin, mech := "2.3", "", "session_id=%{session} mech=%m\n"
	if strings.HasPrefix(quiet(t, program(t, "dovecot"), "--version"), "2.4.") {
		version, begin, mech = "2.4", "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n", "mech = %{mechanism}\n"
	}
	write(t, dir, "90-saslguard.conf", snippet(t, "dovecot/"+version+"/90-saslguard.conf"))
	main := write(t, dir, "dovecot.conf", begin+"ssl = no\n!include 90-saslguard.conf\n")
	settings := quiet(t, doveconf, "-c", main, "-n")
	for _, want := range []string{
		// 2.4 may print these in a block auth_policy.
		"server_url = http://127.0.0.1:4001/\n",
		"hash_nonce = ",
		"check_after_auth = no\n",
		mech,
		"unix_listener anvil-auth-penalty {\n    mode = 0",
	} {
		if !strings.Contains(settings, want) {
			t.Errorf("doveconf -n lacks %q:\n%s", want, settings)
		}
	}
	write(t, dir, "90-saslguard.conf", "auth_policy_sever_url = x\n")
	if out, err := exec.Command(doveconf, "-c", main, "-n").CombinedOutput(); err == nil {
		t.Errorf("doveconf does not notice a typing error: %s", out)
	}
}

// TestDovecot24Snippet holds what is shipped for Dovecot 2.4 to the settings that 2.4.1
// and 2.4.4 were seen to take (test/debian trixie).
func TestDovecot24Snippet(t *testing.T) {
	seen := []string{
		"auth_policy_server_url", "auth_policy_hash_nonce", "auth_policy_reject_on_fail", "auth_policy_check_before_auth",
		"auth_policy_check_after_auth", "auth_policy_report_after_auth",
		"auth_policy{http_client_request_absolute_timeout", "auth_policy_request_attributes{mech",
		"service anvil{unix_listener anvil-auth-penalty{mode",
	}
	var path, got []string
	for line := range strings.Lines(snippet(t, "dovecot/2.4/90-saslguard.conf")) {
		line = strings.TrimSpace(line)
		switch name, _, set := strings.Cut(line, " = "); {
		case line == "" || line[0] == '#':
		case line == "}":
			path = path[:len(path)-1]
		case strings.HasSuffix(line, " {"):
			path = append(path, strings.TrimSuffix(line, " {"))
		case set:
			got = append(got, strings.Join(append(slices.Clone(path), name), "{"))
		default:
			t.Errorf("%q is neither a setting nor a block", line)
		}
	}
	if len(path) > 0 {
		t.Errorf("%v is not closed", path)
	}
	slices.Sort(got)
	slices.Sort(seen)
	if !slices.Equal(got, seen) {
		t.Errorf("settings are\n%q, want\n%q", got, seen)
	}
}

// TestUnit holds the unit to what saslguard needs of systemd.
func TestUnit(t *testing.T) {
	unit := snippet(t, "systemd/saslguard.service")
	for _, line := range []string{
		"#   install -m 755 saslguard /usr/bin/",
		"#   useradd --system --home-dir /var/lib/saslguard --shell /usr/sbin/nologin saslguard",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
		"WatchdogSec=30s",
		"RestartPreventExitStatus=2 78",
		"Type=notify",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the line %q is missing", line)
		}
	}
	// Of its exit code systemd takes no notice: it would be started for ever.
	if strings.Contains(unit, "\nExecStartPre=") {
		t.Error("a wrong configuration ends in ExecStartPre")
	}
}

// TestFirewallUnit holds the unit of the firewall agent to the one privilege that it
// has, and to the network of the host.
func TestFirewallUnit(t *testing.T) {
	unit := snippet(t, "systemd/saslguard-firewall.service")
	for _, line := range []string{
		"User=saslguard", "ExecStart=/usr/bin/saslguard firewall", "AmbientCapabilities=CAP_NET_ADMIN", "CapabilityBoundingSet=CAP_NET_ADMIN",
		"NoNewPrivileges=yes", "RestrictAddressFamilies=AF_NETLINK AF_UNIX AF_INET AF_INET6", "RuntimeDirectoryPreserve=yes", "RestartPreventExitStatus=2 78",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the line %q is missing", line)
		}
	}
	if strings.Contains(unit, "\nPrivateNetwork=") {
		t.Error("it would keep the firewall of a network that nobody is in")
	}
	if !strings.Contains(snippet(t, "systemd/saslguard.service"), "\nRuntimeDirectoryPreserve=yes\n") {
		t.Error("when saslguard.service stops, systemd removes the socket of the agent")
	}
}

// TestDovecotSnippetsExplain holds both to what lets everybody in if it is wrong.
func TestDovecotSnippetsExplain(t *testing.T) {
	for _, name := range []string{"dovecot/2.3/90-saslguard.conf", "dovecot/2.4/90-saslguard.conf"} {
		for _, want := range []string{"ssl_client_ca_file", "Received invalid SSL certificate", "percent-encoded"} {
			if !strings.Contains(snippet(t, name), want) {
				t.Errorf("%s says nothing of %q", name, want)
			}
		}
	}
}

// TestSystemdTakesUnits has systemd read the units, where there is a systemd.
func TestSystemdTakesUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze on this machine, and mail hosts without systemd need no units")
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, name := range Snippets() {
		if unit, ok := strings.CutPrefix(name, "systemd/"); ok {
			text := strings.ReplaceAll(snippet(t, name), "/usr/bin/saslguard", "/bin/true") // need not be installed
			args = append(args, write(t, dir, unit, text))
		}
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "saslguard") {
			t.Errorf("%s", line)
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
