package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/guard"
)

// checkConfig is about saslguard's own configuration.
func checkConfig(r *Report, h *host) {
	var problems configs.Problems
	switch err := h.o.ConfigProblem; {
	case err == nil:
		r.ok("config", "", "the configuration is right (%s)", h.config.Sources())
	case errors.As(err, &problems):
		for _, p := range problems {
			if strings.Contains(p.Text, "permission denied") {
				r.info("config", p.Place, "Run saslguard doctor as root.", "%s; the defaults are looked at instead", p.Text)
				continue
			}
			r.wrong("config", p.Place, "saslguard config check says it again after each repair.", "%s", strings.TrimPrefix(p.Key+": "+p.Text, ": "))
		}
	default:
		r.wrong("config", "", "saslguard config check", "%v", err)
	}
	for _, w := range h.config.Warnings() {
		said := strings.TrimPrefix(w.Key+": "+w.Text, ": ")
		if w.Place == "default" { // a choice of saslguard's, and not of whoever set it up
			r.info("config-hints", w.Place, "", "%s", said)
		} else {
			r.wrong("config-hints", w.Place, "", "%s", said)
		}
	}
	checkSession(r, h)
}

// checkSession proposes the address of the administrator's own session.
func checkSession(r *Report, h *host) {
	p, ok := SessionPrefix(h.o.Session)
	if !ok {
		return
	}
	if allowed(h, p) {
		r.ok("allow-session", "", "%s, from which you are logged in, is on the allowlist", p)
		return
	}
	r.info("allow-session", "", fmt.Sprintf("If it is always yours, in saslguard.yaml:\n  rules:\n    allow_clients: [%s]", strings.Join(append(quoted(h.config.Rules.AllowClients), quoted([]string{p.String()})...), ", ")),
		"%s, from which you are logged in, is not on the allowlist", p)
}

// SessionPrefix is what stands for the address of an administrator's session on
// the allowlist: an IPv4 address, or the /64 of an IPv6 address. It is false for
// what is no address of somebody else, such as loopback.
func SessionPrefix(session string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(session)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// allowed tells whether all of a prefix is on the configured allowlist.
func allowed(h *host, p netip.Prefix) bool {
	for _, text := range h.config.Rules.AllowClients {
		a, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			a = netip.PrefixFrom(addr, addr.BitLen())
		}
		if a.Bits() <= p.Bits() && a.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// quoted writes what YAML would take for something else in quotes.
func quoted(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		if out[i] = s; strings.HasPrefix(s, ":") || strings.HasSuffix(s, ":") {
			out[i] = `"` + s + `"`
		}
	}
	return out
}

// checkRunning is about whether saslguard runs, as it was configured.
func checkRunning(r *Report, h *host) {
	run := h.running
	switch {
	case run.address == "":
		r.info("running", "", "In saslguard.yaml:\n  admin:\n    listen: 127.0.0.1:4002", "%v", run.err)
		return
	case run.err != nil:
		r.wrong("running", run.address, "systemctl start saslguard, or: saslguard serve", "no saslguard answers: %v", run.err)
		return
	}
	r.ok("running", run.address, "saslguard %s runs", run.health.Version)
	for _, p := range run.health.Parts {
		switch p.State {
		case admin.Failing:
			r.wrong("health-failing", p.Name, "journalctl -u saslguard has the reason.", "%s does not work: %s", p.Name, p.Detail)
		case admin.Degraded:
			r.wrong("health-degraded", p.Name, "journalctl -u saslguard has the reason.", "%s works with less than it should have: %s", p.Name, p.Detail)
		default:
			r.ok("health-degraded", p.Name, "%s works", p.Name)
		}
	}
	if run.health.Version != h.o.Version {
		r.wrong("same-version", "", "systemctl restart saslguard", "saslguard %s runs, and this is %s", run.health.Version, h.o.Version)
	} else {
		r.ok("same-version", "", "the running saslguard is of this version")
	}
	switch {
	case h.o.Config == nil:
	case run.health.Mode != h.config.Mode:
		r.wrong("mode", "", "systemctl reload saslguard (SIGHUP), unless serve has --enforce or --observe", "saslguard runs in mode %s, and mode: %s is configured", run.health.Mode, h.config.Mode)
	case h.config.Enforcing():
		r.ok("mode", "", "it enforces")
	default:
		r.info("mode", "", "When its log no longer warns of \"a login succeeded that would have been refused\", in saslguard.yaml:\n  mode: enforce", "it observes: nothing is refused, delayed or banned")
	}
}

// quiet is how long nobody need have logged in.
const quiet = 10 * time.Minute

// checkFigures is about what the metrics of the running saslguard tell.
func checkFigures(r *Report, h *host) {
	if h.running.err != nil {
		return
	}
	f := h.running.figures
	up := f.since(h.at)
	for _, face := range []struct {
		id, name string
		asked    float64
		wired    bool
		fix      string
	}{
		{"postfix-attempts", "Postfix", f.ofPostfix(), h.postfix.err == nil && len(h.postfix.answers) > 0, "postfix reload"},
		{"dovecot-attempts", "Dovecot", f.ofDovecot(), h.dovecot.asks(), "doveadm reload"},
	} {
		switch {
		case !face.wired:
		case face.asked > 0:
			r.ok(face.id, "", "%s asks: %.0f questions and reports since saslguard was started", face.name, face.asked)
		case up >= quiet:
			r.wrong(face.id, "", face.fix+", then log in once and look again", "%s has not asked since saslguard was started %s ago", face.name, up.Round(time.Minute))
		default:
			r.info(face.id, "", "Log in once and look again.", "%s has not asked since saslguard was started %s ago", face.name, up.Round(time.Second))
		}
	}
	for _, c := range []struct{ id, metric, found, fix string }{
		{"malformed", "saslguard_postfix_malformed_total", "%.0f questions at Postfix's address could not be read since saslguard was started", "journalctl -u saslguard names them; who else connects to postfix.listen?"},
		{"malformed", "saslguard_dovecot_malformed_total", "%.0f requests at Dovecot's address could not be read since saslguard was started", "journalctl -u saslguard names them; who else connects to dovecot.listen?"},
		{"losses", "saslguard_reports_dropped_total", "%.0f reports were dropped because more came than could be counted", "Look after the machine's load and the disk."},
		{"losses", "saslguard_store_write_errors_total", "the state could not be written %.0f times", "Make room on the disk of the state directory."},
		{"losses", "saslguard_store_journal_dropped_total", "%.0f attempts were forgotten while Redis was away", "Look after Redis."},
		{"losses", "saslguard_ban_errors_total", "%.0f bans could not be written", "journalctl -u saslguard has the reason."},
		{"brake", "saslguard_brake_on", "automatic bans pause (saslguard_brake_on is %.0f)", "Look after the password database: familiar accounts fail in many networks at once."},
	} {
		if n := f.sum(c.metric); n > 0 {
			r.wrong(c.id, c.metric, c.fix, c.found, n)
		}
	}
	if n := f.sum("saslguard_dovecot_unauthorized_total"); n > 0 {
		said, fix := "%.0f requests had wrong credentials since saslguard was started, and their logins passed", "Give every Dovecot the key (auth_policy_server_api_header)."
		if h.dovecot.asks() && h.dovecot.answer == nil {
			r.info("dovecot-credentials", "", fix, said+"; those of this Dovecot are right by now", n)
		} else {
			r.wrong("dovecot-credentials", "", fix, said, n)
		}
	}
	checkClients(r, f)
}

// ofDovecot is how many requests were Dovecot's: all but the questions with nothing to
// judge, since those of this program are such, and it reports nothing.
func (f figures) ofDovecot() float64 {
	const requests = "saslguard_dovecot_requests_total"
	return f.sum(requests) - f.sum(requests, "command", "allow", "answer", "skipped")
}

// ofPostfix is how many requests were Postfix's: all but those about allowed clients,
// since this program asks about loopback. Where there are more of those than it is
// likely to have asked, they are Postfix's too.
func (f figures) ofPostfix() float64 {
	all := f.sum("saslguard_postfix_requests_total")
	allowed := f.sum("saslguard_verdicts_total", "face", "postfix", "rule", string(guard.RuleAllowed))
	if allowed > maxAsked {
		return all
	}
	return max(0, all-allowed)
}

// checkClients is about a proxy or a NAT that hides who logs in.
func checkClients(r *Report, f figures) {
	for _, face := range []string{"dovecot", "postfix"} {
		hidden := f.sum("saslguard_attempts_by_origin_total", "face", face, "origin", "private")
		public := f.sum("saslguard_attempts_by_origin_total", "face", face, "origin", "public")
		switch {
		case public > 0:
			r.ok("clients", face, "%.0f attempts of %.0f came from public addresses", public, public+hidden)
		case hidden >= enoughAttempts:
			r.wrong("clients", face, "Have the proxy pass the clients' addresses on: PROXY protocol (haproxy = yes and haproxy_trusted_networks in Dovecot, smtpd_upstream_proxy_protocol in Postfix), XCLIENT, or login_trusted_networks for a webmail. In Docker: userland-proxy off, or network_mode: host.",
				"all %.0f attempts came from private addresses", hidden)
		}
	}
}

// enoughAttempts is from how many attempts on something can be said of them.
const enoughAttempts = 50
