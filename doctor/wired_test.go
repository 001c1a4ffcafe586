package doctor

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/configs"
)

// machine is a mail host's settings, made of the shipped snippets as their
// comments say, which the real postconf and doveconf read.
type machine struct {
	main, master, dovecot string
	guard                 []configs.Override
	fingerprint, session  string
	is24                  bool // the Dovecot that is installed
}

func rightMachine(t *testing.T) *machine {
	t.Helper()
	snippet := func(name string) string {
		text, err := configs.Snippet(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var services strings.Builder
	for line := range strings.Lines(snippet("postfix/master.cf")) {
		if !strings.HasPrefix(line, "#") { // or a test would edit a comment
			services.WriteString(line)
		}
	}
	version, _ := exec.Command("/usr/sbin/dovecot", "--version").Output() // without one, what looks for it says so
	dovecot, is24 := snippet("dovecot/2.3/90-saslguard.conf"), strings.HasPrefix(string(version), "2.4.")
	if is24 {
		dovecot = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" + snippet("dovecot/2.4/90-saslguard.conf")
	}
	return &machine{
		is24:    is24,
		main:    "compatibility_level = 3.6\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n" + snippet("postfix/main.cf"),
		master:  services.String(),
		dovecot: strings.NewReplacer("auth_policy_server_url =", "ssl = no\nauth_policy_server_url =", "nonce = change-me", "nonce = 00112233445566778899aabbccddeeff").Replace(dovecot),
	}
}

// edit replaces text that has to be there.
func edit(t *testing.T, text *string, old, new string) {
	t.Helper()
	if !strings.Contains(*text, old) {
		t.Fatalf("there is no %q in\n%s", old, *text)
	}
	*text = strings.Replace(*text, old, new, 1)
}

// write writes the settings, and returns what a Run needs to find them.
func (m *machine) write(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	// Postfix waits for files to be some seconds old, lest they be half written.
	written := time.Now().Add(-time.Minute)
	for name, text := range map[string]string{"main.cf": m.main, "master.cf": m.master, "dovecot.conf": m.dovecot} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, written, written)); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	over := append([]configs.Override{{Key: "state_directory", Value: state}, {Key: "admin.listen", Value: ""}}, m.guard...)
	c, err := configs.Load(configs.LoadOptions{File: empty(t, dir), Environ: []string{}, Overrides: over})
	return Options{
		Config: c, ConfigProblem: err, Version: "1", PostfixConfig: dir, DovecotConfig: filepath.Join(dir, "dovecot.conf"),
		Fingerprint: m.fingerprint, Session: m.session,
	}
}

// empty is a configuration file in which nothing is set.
func empty(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "saslguard.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// notRunning are what is found because no saslguard runs in these tests; that
// one does is test/e2e's.
var notRunning = []string{"postfix-answer", "dovecot-answer", "ports", "kernel"}

// bad are the ids of findings worse than info, but for those of notRunning.
func bad(r *Report) []string {
	ids := map[string]bool{}
	for _, f := range r.Findings {
		if f.Severity > Info && !slices.Contains(notRunning, f.ID) {
			ids[f.ID] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func TestRightSettings(t *testing.T) {
	r := Run(t.Context(), rightMachine(t).write(t))
	if got := bad(r); len(got) > 0 {
		t.Errorf("found %q in what is shipped:\n%+v", got, r.Findings[:5])
	}
	if f := find1(r, "postfix-asks"); f == nil || f.Severity != OK || f.Why != "" || f.Fix != "" {
		t.Errorf("postfix-asks: %+v", f)
	}
}

func find1(r *Report, id string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return nil
}

// In the shipped master.cf.
const (
	submissionAsks = "{ inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=submission }"
	mxAsks         = "{ inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=mx }"
)

// wrongSettings are what is done wrong, each with what has to be found, no more
// and no less, and a word of it.
var wrongSettings = []struct {
	name  string
	spoil func(*testing.T, *machine)
	id    string // "": nothing is wrong with it
	said  string
}{
	{"nobody is asked", master("  -o { smtpd_client_restrictions = check_policy_service "+submissionAsks+" }\n", ""), "postfix-asks", "is not asked"},
	{"asked too late", master("smtpd_client_restrictions = check_policy_service "+submissionAsks, "smtpd_recipient_restrictions = check_policy_service "+submissionAsks), "postfix-asks", "smtpd_recipient_restrictions, which is too late"},
	{"asked in main.cf only, and replaced", func(t *testing.T, m *machine) {
		m.main += "smtpd_client_restrictions = check_policy_service " + submissionAsks + "\n"
		edit(t, &m.master, "check_policy_service "+submissionAsks, "permit_mynetworks")
		edit(t, &m.master, mxAsks, "{ inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=mx }")
	}, "postfix-asks", "is not asked"},
	{"another policy server", master(submissionAsks, "inet:127.0.0.1:10023"), "postfix-asks", "is not asked"},
	{"asked in main.cf", func(t *testing.T, m *machine) {
		m.main += "mua_client_restrictions = permit_mynetworks, saslguard\nsmtpd_restriction_classes = saslguard\nsaslguard = check_policy_service " + submissionAsks + "\n"
		edit(t, &m.master, "check_policy_service "+submissionAsks, "$mua_client_restrictions")
	}, "", ""},
	{"delayed", master("  -o smtpd_delay_reject=no\n", ""), "postfix-delay-reject", "RCPT TO"},
	{"permitted before", master("check_policy_service "+submissionAsks, "permit, check_policy_service "+submissionAsks), "postfix-order", "permit comes before"},
	{"everybody refused", master(submissionAsks, submissionAsks+", permit_sasl_authenticated, reject"), "postfix-refuses-all", "everybody is refused"},
	{"HELO", master("  -o smtpd_helo_restrictions=\n", "  -o { smtpd_helo_restrictions = permit_sasl_authenticated, reject_unknown_helo_hostname }\n"), "postfix-helo", "reject_unknown_helo_hostname"},
	{"no default_action", master("default_action=DUNNO, policy_context=submission ", "policy_context=submission "), "postfix-default-action", "451"},
	{"a default_action in braces", master("default_action=DUNNO", "{ default_action = DUNNO }"), "", ""},
	{"a default_action that stops mail", master("default_action=DUNNO", "{ default_action = 451 4.3.5 later }"), "postfix-default-action", "451 4.3.5 later"},
	{"try_limit", master("timeout=3s", "try_limit=1, timeout=3s"), "postfix-try-limit", "try_limit is 1"},
	{"a long timeout", master("timeout=3s", "timeout=2m"), "postfix-timeout", "2m"},
	{"a short timeout", master("timeout=3s", "timeout=1"), "postfix-timeout", "its timeout is 1;"},
	{"the context of another service", master("policy_context=submission ", "policy_context=mx "), "postfix-context", "only bans by an operator"},
	{"people at port 25 without a context", func(t *testing.T, m *machine) {
		edit(t, &m.master, mxAsks, "{ inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO }")
		m.master += "  -o smtpd_sasl_auth_enable=yes -o smtpd_delay_reject=no\n"
	}, "postfix-context", "on port 25"},
	{"verdicts where servers deliver", master(mxAsks, "{ inet:127.0.0.1:10035, timeout=3s, default_action=DUNNO, policy_context=submission }"), "postfix-context", "would bounce"},
	{"a name that does not exist", func(_ *testing.T, m *machine) { m.main += "smtpd_client_restriction = reject\n" }, "postfix-typo", "smtpd_client_restriction"},
	{"SASL without Dovecot", func(t *testing.T, m *machine) {
		edit(t, &m.main, "smtpd_sasl_type = dovecot", "smtpd_sasl_type = cyrus")
		edit(t, &m.master, "  -o smtpd_hard_error_limit=6\n", "")
	}, "postfix-guesses", "smtpd_hard_error_limit is 20"},
	{"another name for SMTP", master("  -o smtpd_sasl_auth_enable=yes\n", "  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_sasl_service=mua\n"), "postfix-sasl-service", "mua"},
	{"few processes", master("submission  inet  n       -       y       -       -  ", "submission  inet  n       -       y       -       30 "), "tarpit-held", "30 processes"},
	{"a socket out of reach", func(t *testing.T, m *machine) {
		edit(t, &m.master, "inet:127.0.0.1:10035", "unix:/run/saslguard/postfix.sock")
		m.guard = append(m.guard, configs.Override{Key: "postfix.listen", Value: "unix:/run/saslguard/postfix.sock,127.0.0.1:10035"})
	}, "postfix-socket", "chrooted"},
	{"a socket out of reach by default", func(t *testing.T, m *machine) {
		edit(t, &m.main, "compatibility_level = 3.6", "compatibility_level = 0")
		edit(t, &m.master, "submission  inet  n       -       y ", "submission  inet  n       -       - ")
		edit(t, &m.master, "inet:127.0.0.1:10035", "unix:/run/saslguard/postfix.sock")
		m.guard = append(m.guard, configs.Override{Key: "postfix.listen", Value: "unix:/run/saslguard/postfix.sock,127.0.0.1:10035"})
	}, "postfix-socket", "chrooted"},
	{"a socket that is not there", func(t *testing.T, m *machine) {
		edit(t, &m.master, "inet:127.0.0.1:10035", "unix:private/saslguard")
	}, "postfix-socket", "private/saslguard is not there"},
	{"braces", func(t *testing.T, m *machine) {
		m.main += "smtpd_client_restrictions = check_policy_service { inet:127.0.0.1:10035, timeout=3s\n"
		edit(t, &m.master, "  -o { smtpd_client_restrictions = check_policy_service "+submissionAsks+" }\n", "")
	}, "postfix-settings", "braces do not match"},
	{"nobody logs in", func(t *testing.T, m *machine) {
		m.master = strings.ReplaceAll(m.master, "smtpd_sasl_auth_enable=yes", "smtpd_sasl_auth_enable=no")
		m.master = strings.NewReplacer("policy_context=submissions", "policy_context=mx", "policy_context=submission", "policy_context=mx").Replace(m.master)
	}, "", ""},
	{"no Postfix settings", func(_ *testing.T, m *machine) { m.master = "submission inet n\n" }, "postfix-settings", "postconf"},

	{"Dovecot asks nobody", dovecotText("auth_policy_server_url = http://127.0.0.1:4001/\n", ""), "dovecot-asks", "asks nobody"},
	{"the nonce of the example", dovecotText("00112233445566778899aabbccddeeff", "change-me"), "dovecot-nonce", "that of the example"},
	{"no nonce", dovecotText("auth_policy_hash_nonce = 00112233445566778899aabbccddeeff\n", ""), "dovecot-settings", "auth_policy_hash_nonce must be set"},
	{"a short nonce", dovecotText("00112233445566778899aabbccddeeff", "e2e"), "dovecot-nonce", "3 characters"},
	{"another nonce elsewhere", func(_ *testing.T, m *machine) { m.fingerprint = "00000000" }, "dovecot-nonce-same", "00000000"},
	{"the same nonce elsewhere", func(_ *testing.T, m *machine) {
		m.fingerprint = fingerprint("00112233445566778899aabbccddeeff", nil)
	}, "", ""},
	{"another nonce in saslguard.yaml", set1("dovecot.nonce", "aaaaaaaaaaaaaaaa"), "dovecot-hash", "are not Dovecot's"},
	{"the same nonce in saslguard.yaml", set1("dovecot.nonce", "00112233445566778899aabbccddeeff"), "", ""},
	{"no mechanism", dovecotText(" mech=%m", ""), "dovecot-mechanism", "mechanism"},
	{"no address", func(t *testing.T, m *machine) {
		if m.is24 { // what is set there is added to the defaults
			edit(t, &m.dovecot, "  mech = %{mechanism}\n", "  mech = %{mechanism}\n  remote =\n")
			return
		}
		edit(t, &m.dovecot, " remote=%{rip}", "")
	}, "dovecot-attributes", "lacks remote"},
	{"asked too late by Dovecot", dovecotText("auth_policy_check_before_auth = yes", "auth_policy_check_before_auth = no"), "dovecot-before", "is no"},
	{"asked twice", dovecotText("auth_policy_check_after_auth = no\n", ""), "", ""},
	{"no reports", dovecotText("auth_policy_report_after_auth = yes", "auth_policy_report_after_auth = no"), "dovecot-report", "is no"},
	{"not listened to", dovecotText("auth_policy_reject_on_fail = no", "auth_policy_log_only = yes"), "dovecot-log-only", "is yes"},
	{"fails closed", dovecotText("auth_policy_reject_on_fail = no", "auth_policy_reject_on_fail = yes"), "dovecot-fail-open", "is yes"},
	{"a long wait", dovecotText("auth_policy_server_timeout_msecs = 2000", "auth_policy_server_timeout_msecs = 4500"), "dovecot-timeout tarpit-postfix", "4.5s"},
	{"a short wait", dovecotText("auth_policy_server_timeout_msecs = 2000", "auth_policy_server_timeout_msecs = 100"), "dovecot-timeout", "100ms"},
	{"the penalty", dovecotText("    mode = 0\n", "    mode = 0600\n"), "dovecot-penalty", "is on"},
	{"a proxy that verifies nothing", dovecotText("ssl = no\n", "ssl = no\npassdb {\n  driver = static\n  args = proxy=y host=192.0.2.1 nopassword=y\n}\n"), "dovecot-nopassword", "passdb 1 (static)"},
	{"a proxy that verifies nothing, by default_fields", dovecotText("ssl = no\n", "ssl = no\npassdb {\n  driver = static\n  default_fields = nopassword\n}\n"), "dovecot-nopassword", "every password"},
	{"a list of who may not log in", dovecotText("ssl = no\n", "ssl = no\npassdb {\n  driver = passwd-file\n  deny = yes\n  args = /etc/deny nopassword\n}\n"), "", ""},
	{"a webmail", dovecotText("ssl = no\n", "ssl = no\nlogin_trusted_networks = 192.0.2.7\n"), "dovecot-trusted", "192.0.2.7/32"},
	{"a webmail on the allowlist", func(t *testing.T, m *machine) {
		edit(t, &m.dovecot, "ssl = no\n", "ssl = no\nlogin_trusted_networks = 192.0.2.7 127.0.0.1\n")
		m.guard = append(m.guard, configs.Override{Key: "rules.allow_clients", Value: "127.0.0.0/8,192.0.2.0/24"})
	}, "", ""},
	{"everybody is believed", dovecotText("ssl = no\n", "ssl = no\nhaproxy_trusted_networks = 0.0.0.0/0\n"), "dovecot-forged", "haproxy_trusted_networks"},
	{"long delays", dovecotText("ssl = no\n", "ssl = no\nauth_failure_delay = 5 secs\n"), "tarpit-postfix", "are 11s"},
	{"no Dovecot settings", func(_ *testing.T, m *machine) { m.dovecot = "auth_policy_sever_url = x\n" }, "dovecot-settings", "doveconf"},
	{"Dovecot is told a socket", dovecotText("http://127.0.0.1:4001/", "unix:/run/saslguard/dovecot.sock"), "", ""}, // dovecot-answer

	{"logs of what is reported", func(_ *testing.T, m *machine) {
		m.guard = append(m.guard, configs.Override{Key: "maillog.files", Value: "/var/log/mail.log"}, configs.Override{Key: "maillog.services", Value: "imap,smtp,other"})
	}, "log-reported", "services: [other]"},
	{"logs of what is not", func(_ *testing.T, m *machine) {
		m.guard = append(m.guard, configs.Override{Key: "maillog.files", Value: "/var/log/mail.log"}, configs.Override{Key: "maillog.services", Value: "other"})
	}, "", ""},
	{"the configuration is wrong", set1("rules.client.ban", "1"), "config running", "rules.client.ban"},
	{"everybody may ask as Postfix", sets(set1("postfix.listen", "0.0.0.0:10035"), set1("postfix.allow_from", "0.0.0.0/0")), "config-hints", "no authentication"},
}

func master(old, new string) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) { edit(t, &m.master, old, new) }
}

// dovecotText edits the settings of Dovecot 2.3, or does the same with those of 2.4.
func dovecotText(old, new string) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) {
		if m.is24 {
			old, new = as24.Replace(old), as24.Replace(new)
		}
		edit(t, &m.dovecot, old, new)
	}
}

// as24 writes settings of Dovecot 2.3 as 2.4 has them.
var as24 = strings.NewReplacer(
	"auth_policy_server_timeout_msecs = 2000", "http_client_request_absolute_timeout = 2s",
	"auth_policy_server_timeout_msecs = 4500", "http_client_request_absolute_timeout = 4500ms",
	"auth_policy_server_timeout_msecs = 100", "http_client_request_absolute_timeout = 100ms",
	" mech=%m", "  mech = %{mechanism}\n",
	"passdb {\n  driver = static\n  args = proxy=y host=192.0.2.1 nopassword=y\n}", "passdb static {\n  fields {\n    proxy = y\n    host = 192.0.2.1\n    nopassword = y\n  }\n}",
	"passdb {\n  driver = static\n  default_fields = nopassword\n}", "passdb static {\n  fields {\n    nopassword = yes\n  }\n}",
	"passdb {\n  driver = passwd-file\n  deny = yes\n  args = /etc/deny nopassword\n}", "passdb passwd-file {\n  deny = yes\n  passwd_file_path = /etc/deny nopassword\n}",
)

func set1(key, value string) func(*testing.T, *machine) {
	return func(_ *testing.T, m *machine) {
		m.guard = append(m.guard, configs.Override{Key: key, Value: value})
	}
}

func sets(all ...func(*testing.T, *machine)) func(*testing.T, *machine) {
	return func(t *testing.T, m *machine) {
		for _, set := range all {
			set(t, m)
		}
	}
}

// Every wrong setting is found by the real programs' output, and nothing else
// that would not be wrong.
func TestWrongSettings(t *testing.T) {
	for _, c := range wrongSettings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := rightMachine(t)
			c.spoil(t, m)
			r := Run(t.Context(), m.write(t))
			if got := strings.Join(bad(r), " "); got != c.id {
				t.Fatalf("found %q, want %q:\n%s", got, c.id, said(r))
			}
			if !strings.Contains(said(r), c.said) {
				t.Errorf("nothing says %q:\n%s", c.said, said(r))
			}
		})
	}
}

// said is what a report says of what is not as it should be.
func said(r *Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		if f.Severity > OK {
			b.WriteString(f.Severity.String() + " " + f.ID + " " + f.Subject + ": " + f.Found + "\n" + f.Fix + "\n")
		}
	}
	return b.String()
}

// What is to be added to master.cf does mend it.
func TestFixesOfMasterMend(t *testing.T) {
	mended := 0
	for _, c := range wrongSettings {
		t.Run(c.name, func(t *testing.T) {
			if !strings.HasPrefix(c.id, "postfix-") {
				return // what mends it is elsewhere
			}
			m := rightMachine(t)
			c.spoil(t, m)
			f := find1(Run(t.Context(), m.write(t)), c.id)
			if f == nil || !strings.HasPrefix(f.Fix, "In master.cf, below the line that begins with \"") {
				return
			}
			options := strings.Split(f.Fix, "\n")
			options = options[1 : len(options)-1] // between "In master.cf" and "then: postfix reload"
			name, _, _ := strings.Cut(f.Subject, "/")
			begin := strings.Index(m.master, "\n"+name+" ") + 1
			end := strings.Index(m.master[begin:], "\n\n")
			m.master = m.master[:begin+end+1] + strings.Join(options, "\n") + "\n" + m.master[begin+end+1:]
			r := Run(t.Context(), m.write(t))
			if f := find1(r, c.id); f != nil && f.Severity > Info {
				t.Errorf("%s is still %s after\n%s\n%s", c.id, f.Severity, strings.Join(options, "\n"), f.Found)
			}
			mended++
		})
	}
	if mended < 5 {
		t.Errorf("only %d fixes were tried", mended)
	}
}

func TestProgramsThatAreNotThere(t *testing.T) {
	o := rightMachine(t).write(t)
	o.Postconf, o.Doveconf = "/nonexistent/postconf", "/nonexistent/doveconf"
	r := Run(t.Context(), o)
	for _, id := range []string{"postfix-settings", "dovecot-settings"} {
		if f := find1(r, id); f == nil || f.Severity != Info || !strings.Contains(f.Found, "not installed") {
			t.Errorf("%s: %+v", id, f)
		}
	}
}

// A program that never ends, or prints without end, is ended.
func TestProgramsAreBounded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, _, err := run(ctx, "/bin/sleep", "60"); err == nil {
		t.Error("it is waited for")
	}
	out, _, err := run(t.Context(), "/usr/bin/yes")
	if err == nil || !strings.Contains(err.Error(), "more than 4 MiB") || len(out) > maxOutput {
		t.Errorf("%d octets, %v", len(out), err)
	}
	if _, _, err := run(t.Context(), "/bin/sh", "-c", "echo no >&2; exit 3"); err == nil || !strings.Contains(err.Error(), ": no") {
		t.Errorf("why it failed is not told: %v", err)
	}
	if _, err := find("", "no-such-program-anywhere"); !errors.Is(err, errNotInstalled) {
		t.Errorf("%v", err)
	}
}
