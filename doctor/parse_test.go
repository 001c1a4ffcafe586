package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/fuzzing"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../testdata/doctor", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// captured is a Postfix as the testdata have it.
func captured(t testing.TB) *postfix {
	t.Helper()
	p := &postfix{answers: map[string]answer{}}
	var err error
	if p.main, err = parseParameters(testdata(t, "postconf-x.txt")); err != nil {
		t.Fatal(err)
	}
	if p.services, err = parseServices(testdata(t, "postconf-M.txt")); err != nil {
		t.Fatal(err)
	}
	if err := parseOverrides(testdata(t, "postconf-Px.txt"), p.services); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPostconf(t *testing.T) {
	p := captured(t)
	if len(p.main) < 1000 || p.main["mail_version"] != "3.7.11" || p.main["smtpd_hard_error_limit"] != "20" {
		t.Errorf("%d parameters, version %q, limit %q", len(p.main), p.main["mail_version"], p.main["smtpd_hard_error_limit"])
	}
	i := slices.IndexFunc(p.services, func(s *service) bool { return s.name == "submission" })
	if i < 0 {
		t.Fatal("no submission")
	}
	s := p.services[i]
	if !s.chroot || s.limit != "50" || s.command != "smtpd" || !p.is(s, "smtpd_sasl_auth_enable") || p.get(s, "smtpd_sasl_path") != "private/auth" {
		t.Errorf("%+v", s)
	}
	list, err := p.list(s, "smtpd_client_restrictions")
	if err != nil || len(list) != 2 || list[0].word != "permit_mynetworks" {
		t.Fatalf("%v, %v", list, err)
	}
	want := question{network: "tcp", address: "127.0.0.1:10035", timeout: "3s", defaultAction: "DUNNO", context: "submission"}
	if got := list[1].question; got == nil || *got != want {
		t.Errorf("%+v", got)
	}
	i = slices.IndexFunc(p.services, func(s *service) bool { return s.name == "[::1]:465" })
	if i < 0 || p.get(p.services[i], "smtpd_helo_restrictions") != "" {
		t.Error("[::1]:465 has no empty HELO restrictions")
	}
}

func TestRestrictions(t *testing.T) {
	classes := map[string]string{"ours": "check_policy_service inet:10035, reject", "loop": "permit loop"}
	for list, want := range map[string]string{
		"":                                     "",
		" permit_mynetworks,reject ":           "permit_mynetworks reject",
		"REJECT":                               "reject",
		"ours":                                 "check_policy_service(inet:localhost:10035) reject",
		"check_policy_service unix:private/x":  "check_policy_service(unix:private/x)",
		"check_policy_service localhost:smtp":  "check_policy_service(inet:localhost:smtp)",
		"check_policy_service {inet:a:1,x=y}":  "check_policy_service(inet:a:1)",
		"check_policy_service { { a } }":       "error",
		"check_policy_service {}":              "error",
		"check_policy_service nothing":         "error",
		"check_policy_service":                 "check_policy_service",
		"{ permit":                             "error",
		"permit }":                             "error",
		"loop":                                 "error",
		"check_client_access hash:/x, permit":  "check_client_access hash:/x permit",
		strings.Repeat("permit ", 1+2_000):     "error",
		"check_policy_service {unix:a, { b = ": "error",
	} {
		got := []string{}
		all, err := restrictions(list, classes)
		for _, r := range all {
			word := r.word
			if r.question != nil {
				word += "(" + r.question.String() + ")"
			}
			got = append(got, word)
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%.60q is %q (%v), want %q", list, got, err, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"3": 3 * time.Second, "3s": 3 * time.Second, "2m": 2 * time.Minute, "1h": time.Hour, "": -1, "s": -1, "-1": -1, "3x": -1} {
		if got, ok := postfixTime(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("Postfix's %q is %v, %t", text, got, ok)
		}
	}
	for text, want := range map[string]time.Duration{"2 secs": 2 * time.Second, "2s": 2 * time.Second, "500 msecs": 500 * time.Millisecond, "1 mins": time.Minute, "0": 0, "": -1, "2": -1, "x": -1, "2 years": -1} {
		if got, ok := dovecotTime(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("Dovecot's %q is %v, %t", text, got, ok)
		}
	}
}

func TestDoveconf(t *testing.T) {
	root, version, err := parseDoveconf(testdata(t, "doveconf-2.3.txt"))
	if err != nil || version != "2.3.19.1 (9b53102964)" {
		t.Fatalf("%q, %v", version, err)
	}
	d := &dovecot{conf: root, version: version}
	if d.get("auth_policy_hash_nonce") != "foo bar" || d.get("auth_policy_server_url") != "http://u:p@127.0.0.1:4001/" || !d.is("auth_policy_check_after_auth") {
		t.Errorf("%v", root.settings)
	}
	if name, value := d.apiHeader(); name != "X-API-Key" || value != "abc" {
		t.Errorf("%s: %s", name, value)
	}
	if d.penalty() || d.timeout() != 2*time.Second || d.attributes()["mech"] != "" || d.attributes()["remote"] != "%{rip}" {
		t.Errorf("penalty %t, timeout %v, attributes %v", d.penalty(), d.timeout(), d.attributes())
	}
	if s := root.named("namespace", "in box"); s == nil || s.settings["prefix"] != "x } = " || s.named("mailbox", "a b") == nil {
		t.Errorf("namespace: %+v", s)
	}
	if v := root.settings["login_greeting"]; v != "hi { # x" {
		t.Errorf("login_greeting is %q", v)
	}
	passdbs := 0
	root.walk(func(s *section) {
		if s.kind == "passdb" {
			passdbs++
		}
	})
	if passdbs != 3 {
		t.Errorf("%d passdbs", passdbs)
	}
}

func TestDoveconf24(t *testing.T) {
	root, version, err := parseDoveconf(testdata(t, "doveconf-2.4.txt"))
	if err != nil || !strings.HasPrefix(version, "2.4.1") {
		t.Fatalf("%q, %v", version, err)
	}
	d := &dovecot{conf: root, version: version, is24: true}
	if !d.asks() || d.timeout() != 3*time.Second || d.penalty() || d.is("auth_policy_check_after_auth") || !d.is("auth_policy_check_before_auth") {
		t.Errorf("asks %t, timeout %v, penalty %t", d.asks(), d.timeout(), d.penalty())
	}
	if told := d.attributes(); told["mech"] != "%{mechanism}" || told["login"] == "" {
		t.Errorf("%v", told)
	}
	// The settings as they are written, which 2.4 may print as well.
	plain, _, err := parseDoveconf("# 2.4.4: x\nauth_policy_server_url = http://127.0.0.1:4001/\nauth_policy {\n  http_client_request_absolute_timeout = 2s\n}\nauth_policy_request_attributes {\n  mech = %{mechanism}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	d.conf = plain
	if !d.asks() || d.timeout() != 2*time.Second || d.attributes()["mech"] == "" || !d.penalty() {
		t.Errorf("as written: %+v", plain)
	}
}

func TestDoveconfIsStrict(t *testing.T) {
	const head = "# 2.3.19 (x): /etc/dovecot/dovecot.conf\n"
	for text, want := range map[string]string{
		"a = b\n":                                    "of which version",
		head + "}\n":                                 "line 2 of what doveconf printed closes",
		head + "service auth {\n":                    "ends within a block (service)",
		head + "nonsense\n":                          "neither a setting nor a block",
		head + "a = \"b\n":                           "quotes do not match",
		head + "a = \"b\"c\"\n":                      "quotes do not match",
		head + " {\n":                                "neither a setting nor a block",
		head + "a = b\x00\n":                         "control character",
		head + strings.Repeat("plugin {\n", 20):      "nested too deep",
		head + strings.Repeat("a = b\n", 50_001):     "one more than",
		head + "a = " + strings.Repeat("x", 300_000): "more than 262144 octets",
	} {
		if _, _, err := parseDoveconf(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
	}
}

func TestPostconfIsStrict(t *testing.T) {
	for text, want := range map[string]string{"nonsense": "is no name = value", "a b = c": "is no name = value", "a =b": "is no name = value", " = b": "is no name = value"} {
		if _, err := parseParameters(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"smtp inet n": "eight fields", "smtp what n - y - - smtpd": "no type"} {
		if _, err := parseServices(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"a/b/c = d": "not in master.cf", "a = d": "no name/type/parameter"} {
		if err := parseOverrides(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever these programs print, nothing is read that has no bound, and nothing
// panics.
func FuzzPostconf(f *testing.F) {
	f.Add(testdata(f, "postconf-M.txt"), testdata(f, "postconf-Px.txt"), "permit_mynetworks, check_policy_service { inet:127.0.0.1:10035, { default_action = DUNNO } }")
	f.Add("", "a/b/c = d", "}{")
	f.Fuzz(func(t *testing.T, lines, overrides, list string) {
		if services, err := parseServices(lines); err == nil {
			if err := parseOverrides(overrides, services); err == nil && len(services) > maxServices {
				t.Error("too many services")
			}
		}
		if all, err := restrictions(list, map[string]string{"a": list, "permit": "a a"}); err == nil && len(all) > maxRestrictions {
			t.Error("too many restrictions")
		}
		if p, err := parseParameters(overrides); err == nil && len(p) > maxParameters {
			t.Error("too many parameters")
		}
		misspelt(lines)
	})
}

func FuzzDoveconf(f *testing.F) {
	for _, name := range []string{"doveconf-2.3.txt", "doveconf-2.4.txt"} {
		f.Add(testdata(f, name))
	}
	f.Add("# 2.4.1: x\nauth_policy {\n  request_attributes {\n    mech = \"\\\\\"\n  }\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		root, version, err := parseDoveconf(text)
		if err != nil {
			return
		}
		if version == "" {
			t.Error("no version, and no error")
		}
		d := &dovecot{conf: root, version: version, is24: strings.Contains(text, "2.4")}
		d.attributes()
		d.penalty()
		d.timeout()
		d.apiHeader()
		root.walk(func(s *section) { opens(s) })
	})
}

func FuzzOthers(f *testing.F) {
	f.Add(testdata(f, "systemctl-show.txt"), "redis_version:7.0.15\r\n# Memory\r\nused_memory:1\r\n", []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, units, info string, message []byte) {
		if got := parseUnits(units); len(got) > 1000 {
			t.Error("too many units")
		}
		if got := parseInfo(info); len(got) > 5000 {
			t.Error("too many values")
		}
		if netlinkError(message) == nil && len(message) < 20 {
			t.Error("a short message is none")
		}
		if s := plain(info, 50); len([]rune(s)) > 51 || strings.ContainsAny(s, "\r\n\x1b") {
			t.Errorf("%q", s)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
