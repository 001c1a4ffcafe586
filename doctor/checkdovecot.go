package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// set is lines of Dovecot's settings.
func set(lines ...string) string {
	return "In /etc/dovecot/conf.d/90-saslguard.conf:\n  " + strings.Join(lines, "\n  ") + "\nthen: doveadm reload"
}

// checkDovecot is about whether, and how, Dovecot asks.
func checkDovecot(r *Report, h *host) {
	d := h.dovecot
	switch {
	case errors.Is(d.err, errNotInstalled):
		r.info("dovecot-settings", "", "If Dovecot is somewhere else: --doveconf PATH, --dovecot-config FILE", "%v: Dovecot was not looked at", d.err)
		return
	case d.err != nil && strings.Contains(d.err.Error(), "ermission denied"):
		r.info("dovecot-settings", "", "Run saslguard doctor as root.", "Dovecot's settings cannot be read: %v", d.err)
		return
	case d.err != nil:
		r.wrong("dovecot-settings", "", "Mend what doveconf -n complains of.", "Dovecot's settings cannot be read: %v", d.err)
		return
	}
	r.ok("dovecot-settings", "", "Dovecot %s", d.version)
	switch major, minor, ok := versionOf(d.version); {
	case ok && (major < 2 || major == 2 && minor < 3):
		r.wrong("dovecot-version", "", "Upgrade Dovecot to 2.3 or later.", "this is Dovecot %s", d.version)
	case ok && (major > 2 || minor > DovecotNewest):
		r.info("dovecot-version", "", "Upgrade saslguard, if there is a version that knows it.", "this is Dovecot %s, which this saslguard does not know: it is looked at as if it were 2.%d", d.version, DovecotNewest)
	}
	if !d.asks() {
		r.wrong("dovecot-asks", "", "saslguard setup dovecot > /etc/dovecot/conf.d/90-saslguard.conf\n(with --nonce, where another host has one already), then: doveadm reload",
			"auth_policy_server_url is empty: Dovecot asks nobody")
		return
	}
	checkAnswer(r, h)
	checkWhen(r, d)
	checkAttributes(r, d)
	if t := d.timeout(); t < minDovecotTimeout || t > maxDovecotTimeout {
		fix := set("auth_policy_server_timeout_msecs = 2000")
		if d.is24 {
			fix = set("auth_policy {", "  http_client_request_absolute_timeout = 2s", "}")
		}
		r.wrong("dovecot-timeout", "", fix, "Dovecot waits %v for an answer; between %v and %v is good", t, minDovecotTimeout, maxDovecotTimeout)
	} else {
		r.ok("dovecot-timeout", "", "Dovecot waits %v for an answer", t)
	}
	if d.penalty() {
		r.wrong("dovecot-penalty", "", set("service anvil {", "  unix_listener anvil-auth-penalty {", "    mode = 0", "  }", "}"), "Dovecot's own penalty is on")
	} else {
		r.ok("dovecot-penalty", "", "Dovecot's own penalty is off")
	}
}

// saslguard answers within a second in any case, and beyond some seconds Postfix
// gives up waiting for Dovecot.
const (
	minDovecotTimeout = 1500 * time.Millisecond
	maxDovecotTimeout = 4 * time.Second
)

// checkAnswer is about what became of a question at Dovecot's URL.
func checkAnswer(r *Report, h *host) {
	d := h.dovecot
	why := ""
	if d.answer != nil {
		why = d.answer.Error()
	}
	switch {
	case d.answer == nil:
		r.ok("dovecot-asks", "", "Dovecot asks, and saslguard answers")
	case d.status == http.StatusUnauthorized:
		r.wrong("dovecot-credentials", "", set("auth_policy_server_api_header = X-API-Key: (the dovecot.api_key of saslguard.yaml)"),
			"saslguard does not take the credentials that Dovecot has")
	case strings.HasPrefix(d.get("auth_policy_server_url"), "unix:"):
		r.wrong("dovecot-answer", "", set("auth_policy_server_url = "+dovecotURL(h)), "auth_policy_server_url begins with unix:, which Dovecot refuses")
	case strings.Contains(why, "x509:") || strings.Contains(why, "tls:"):
		r.wrong("dovecot-answer", "", "Have Dovecot trust who signed dovecot.tls_cert:\n  ssl_client_ca_file = /path/of/ca.pem\nthen: doveadm reload", "Dovecot does not trust the certificate at its auth_policy_server_url: %s", why)
	default:
		r.wrong("dovecot-answer", "", "Start saslguard there, or correct the address:\n  auth_policy_server_url = "+dovecotURL(h),
			"nobody answers well at Dovecot's auth_policy_server_url: %s", why)
	}
}

// dovecotURL is where this saslguard listens for Dovecot.
func dovecotURL(h *host) string {
	scheme := "http"
	if h.config.Dovecot.TLSCert != "" {
		scheme = "https"
	}
	for _, address := range h.config.Dovecot.Listen {
		if !strings.HasPrefix(address, "unix:") {
			return scheme + "://" + address + "/"
		}
	}
	return scheme + "://127.0.0.1:4001/"
}

// checkWhen is about when Dovecot asks and reports, and what it makes of it.
func checkWhen(r *Report, d *dovecot) {
	for _, c := range []struct {
		id, setting string
		want        bool
	}{
		{"dovecot-before", "auth_policy_check_before_auth", true},
		{"dovecot-after", "auth_policy_check_after_auth", false},
		{"dovecot-report", "auth_policy_report_after_auth", true},
		{"dovecot-log-only", "auth_policy_log_only", false},
		{"dovecot-fail-open", "auth_policy_reject_on_fail", false},
	} {
		is, want := yesNo(d.is(c.setting)), yesNo(c.want)
		if is == want {
			r.ok(c.id, "", "%s is %s", c.setting, is)
		} else {
			r.wrong(c.id, "", set(c.setting+" = "+want), "%s is %s", c.setting, is)
		}
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// checkAttributes is about what Dovecot tells.
func checkAttributes(r *Report, d *dovecot) {
	told := d.attributes()
	fix := set("auth_policy_request_attributes = " + dovecotDefaults["auth_policy_request_attributes"] + " mech=%m")
	mechanism := set("auth_policy_request_attributes = " + d.get("auth_policy_request_attributes") + " mech=%m")
	if d.is24 {
		mechanism = set("auth_policy_request_attributes {", "  mech = %{mechanism}", "}")
		fix = "Take auth_policy_request_attributes out of your settings, but for mech:\n" + mechanism
	}
	var lacks []string
	for _, name := range []string{"login", "pwhash", "remote", "protocol", "session_id"} {
		if told[name] == "" {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		r.wrong("dovecot-attributes", "", fix, "auth_policy_request_attributes lacks %s", strings.Join(lacks, ", "))
	} else {
		r.ok("dovecot-attributes", "", "Dovecot tells login, hash, address, protocol and session")
	}
	if told["mech"] == "" {
		r.wrong("dovecot-mechanism", "", mechanism, "Dovecot does not tell the mechanism")
	} else {
		r.ok("dovecot-mechanism", "", "Dovecot tells the mechanism")
	}
}

// checkTogether holds against each other what one login meets: Postfix gives up
// waiting for Dovecot after 10 s, whatever the delay is for.
func checkTogether(r *Report, h *host) {
	d := h.dovecot
	if !d.asks() {
		return
	}
	delay, ok := dovecotTime(d.get("auth_failure_delay"))
	if !ok {
		delay = 2 * time.Second
	}
	tarpit := h.config.Rules.Tarpit.MaxSMTP
	if sum := tarpit + delay + d.timeout(); sum >= postfixPatience {
		left := max(postfixPatience-time.Second-delay-d.timeout(), time.Second).Truncate(time.Second)
		r.wrong("tarpit-postfix", "", fmt.Sprintf("In saslguard.yaml:\n  rules:\n    tarpit:\n      max_smtp: %v\nor a shorter auth_failure_delay of Dovecot's", left),
			"rules.tarpit.max_smtp %v, Dovecot's auth_failure_delay %v and its wait for an answer %v together are %v, and Postfix gives up after %v", tarpit, delay, d.timeout(), sum, postfixPatience)
	} else {
		r.ok("tarpit-postfix", "", "a failed SMTP login takes at most %v, and Postfix waits %v", sum, postfixPatience)
	}
}

const postfixPatience = 10 * time.Second

// checkNonce is about the secret in the hashes of passwords.
func checkNonce(r *Report, h *host) {
	d := h.dovecot
	if !d.asks() {
		return
	}
	nonce := d.get("auth_policy_hash_nonce")
	fix := set("auth_policy_hash_nonce = (the output of: openssl rand -hex 16; the same on all hosts)")
	switch {
	case nonce == "":
		r.wrong("dovecot-nonce", "", fix, "auth_policy_hash_nonce is empty, and Dovecot wants one")
	case nonce == "change-me":
		r.wrong("dovecot-nonce", "", fix, "auth_policy_hash_nonce is still that of the example")
	case len(nonce) < minNonce:
		r.wrong("dovecot-nonce", "", fix, "auth_policy_hash_nonce has %d characters; 16 or more cannot be guessed", len(nonce))
	default:
		r.ok("dovecot-nonce", "", "there is a nonce")
	}
	if nonce == "" {
		return
	}
	mine := fingerprint(nonce, h.key())
	switch h.o.Fingerprint {
	case "":
		r.info("dovecot-nonce-same", "", "On every other host: saslguard doctor --only dovecot-nonce-same --nonce "+mine, "the nonce here has the fingerprint %s", mine)
	case mine:
		r.ok("dovecot-nonce-same", "", "the nonce here has the fingerprint %s, too", mine)
	default:
		r.wrong("dovecot-nonce-same", "", "Give Dovecot the same auth_policy_hash_nonce on all hosts, then: doveadm reload", "the nonce here has the fingerprint %s, and elsewhere %s", mine, h.o.Fingerprint)
	}
	c := h.config.Dovecot
	if c.Nonce == "" {
		return
	}
	truncate, _ := whole(d.get("auth_policy_hash_truncate"))
	if c.Nonce != nonce || !strings.EqualFold(c.HashMech, d.get("auth_policy_hash_mech")) || c.HashTruncate != truncate {
		r.wrong("dovecot-hash", "", fmt.Sprintf("In saslguard.yaml, as Dovecot has them:\n  dovecot:\n    nonce: (its auth_policy_hash_nonce)\n    hash_mech: %s\n    hash_truncate: %d", d.get("auth_policy_hash_mech"), truncate),
			"dovecot.nonce, hash_mech or hash_truncate of saslguard.yaml are not Dovecot's")
	} else {
		r.ok("dovecot-hash", "", "dovecot.nonce, hash_mech and hash_truncate are Dovecot's")
	}
}

// minNonce is how short a nonce may be before it is worth a word.
const minNonce = 12

// checkPassdbs is about databases to which every password is right.
func checkPassdbs(r *Report, h *host) {
	d := h.dovecot
	if !d.asks() {
		return
	}
	found := false
	n := 0
	d.conf.walk(func(s *section) {
		if s.kind != "passdb" {
			return
		}
		n++
		if !opens(s) {
			return
		}
		found = true
		name := s.name
		if name == "" {
			name = s.settings["driver"]
		}
		r.wrong("dovecot-nopassword", fmt.Sprintf("passdb %d (%s)", n, name),
			"If this is a proxy, ask on the hosts behind it instead, where the passwords are verified (give them the clients' addresses by login_trusted_networks), and not here:\n  auth_policy_server_url =\nthen: doveadm reload",
			"it takes every password (nopassword)")
	})
	if !found {
		r.ok("dovecot-nopassword", "", "no passdb takes every password, as far as the settings say; what SQL or LDAP return is not seen")
	}
}

// opens tells whether a passdb has nopassword in its arguments or fields.
func opens(s *section) bool {
	if strings.EqualFold(s.settings["deny"], "yes") {
		return false // a list of who may not log in
	}
	yes := func(key, value string) bool {
		if key == "nopassword" {
			return !strings.EqualFold(value, "no")
		}
		return slices.ContainsFunc(strings.Fields(value), func(w string) bool {
			name, v, _ := strings.Cut(w, "=")
			return name == "nopassword" && !strings.EqualFold(v, "no")
		})
	}
	for key, value := range s.settings {
		if yes(key, value) {
			return true
		}
	}
	return slices.ContainsFunc(s.sections, opens)
}
