package doctor

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/policy"
)

// The first version of Postfix with timeout and default_action for each policy
// service (3.0), and with policy_context (3.1).
const (
	postfixMajor = 3
	postfixMinor = 1
)

// checkPostfix holds every service against what the shipped master.cf says.
func checkPostfix(r *Report, h *host) {
	p := h.postfix
	switch {
	case errors.Is(p.err, errNotInstalled):
		r.info("postfix-settings", "", "If Postfix is somewhere else: --postconf PATH, --postfix-config DIRECTORY", "%v: Postfix was not looked at", p.err)
		return
	case p.err != nil:
		r.wrong("postfix-settings", "", "Mend what postconf complains of: postfix check", "Postfix's settings cannot be read: %v", p.err)
		return
	}
	r.ok("postfix-settings", "", "Postfix %s: %d services speak SMTP to clients", p.version, len(p.services))
	if major, minor, ok := versionOf(p.version); ok && (major < postfixMajor || major == postfixMajor && minor < postfixMinor) {
		r.wrong("postfix-version", "", "Upgrade Postfix.", "this is Postfix %s", p.version)
	}
	for _, name := range p.typos {
		r.wrong("postfix-typo", name, "Correct the name in main.cf or master.cf; man 5 postconf has them all.", "Postfix does not know %s, and ignores it", name)
	}
	logins := 0
	for _, s := range p.services {
		if p.is(s, "smtpd_sasl_auth_enable") {
			logins++
			checkLoginService(r, h, s)
		} else {
			checkMailService(r, h, s)
		}
	}
	if logins == 0 {
		r.info("postfix-logins", "", "", "no service has smtpd_sasl_auth_enable=yes: nobody can log in at this Postfix, so nothing needs to ask at it")
	} else {
		r.ok("postfix-logins", "", "people can log in at %d of them", logins)
	}
}

// checkLoginService is about a service on which people log in.
func checkLoginService(r *Report, h *host, s *service) {
	p := h.postfix
	list, err := p.list(s, "smtpd_client_restrictions")
	if err != nil {
		r.wrong("postfix-settings", s.String(), "Compare it with: saslguard setup postfix/master.cf", "%v", err)
		return
	}
	at := slices.IndexFunc(list, func(e restriction) bool { return e.question != nil && p.ours(h.config, s, e.question) })
	early := !p.is(s, "smtpd_delay_reject")
	switch {
	case at < 0:
		r.wrong("postfix-asks", s.String(), wiring(h, s), "saslguard is not asked when a client connects%s", elsewhere(h, s))
	case !early:
		r.wrong("postfix-delay-reject", s.String(), override(s, "-o smtpd_delay_reject=no", "-o smtpd_helo_restrictions="),
			"smtpd_delay_reject is yes: saslguard is asked at RCPT TO only, which comes after the login")
	default:
		r.ok("postfix-asks", s.String(), "saslguard is asked when a client connects, at %s", list[at].question)
	}
	if early {
		checkEarly(r, h, s, list, at)
	}
	if at >= 0 {
		checkQuestion(r, h, s, list[at].question)
		checkContext(r, h, s, list[at].question)
	}
	checkGuesses(r, h, s)
	checkHeld(r, h, s)
	if name := p.get(s, "smtpd_sasl_service"); name != "smtp" && name != "submission" {
		r.wrong("postfix-sasl-service", s.String(), override(s, "-o smtpd_sasl_service=smtp"),
			"smtpd_sasl_service is %s, which saslguard does not know as SMTP: Dovecot may be told to wait for rules.tarpit.max (%v)", name, h.config.Rules.Tarpit.Max)
	}
}

// checkEarly is about what else is asked before the login where smtpd_delay_reject
// is no. at is where saslguard is asked, or -1.
func checkEarly(r *Report, h *host, s *service, list []restriction, at int) {
	p := h.postfix
	permits := slices.IndexFunc(list, func(e restriction) bool { return e.word == "permit" })
	rejects, found := rejects(list)
	switch {
	case found && (permits < 0 || rejects < permits):
		r.wrong("postfix-refuses-all", s.String(),
			"Move it to where it is asked after the login:\n"+override(s, "-o smtpd_relay_restrictions=permit_sasl_authenticated,reject")+
				"\nand take permit_sasl_authenticated and "+list[rejects].word+" out of smtpd_client_restrictions.",
			"smtpd_client_restrictions has %s, and is asked before anybody could log in: everybody is refused", list[rejects].word)
	case at >= 0 && permits >= 0 && permits < at:
		r.wrong("postfix-order", s.String(), "Put check_policy_service first in smtpd_client_restrictions.", "permit comes before the question to saslguard, which is never asked")
	case at >= 0:
		r.ok("postfix-order", s.String(), "nothing before the question permits or refuses everybody")
	}
	helo, err := p.list(s, "smtpd_helo_restrictions")
	if err != nil {
		r.wrong("postfix-settings", s.String(), "Compare it with: saslguard setup postfix/master.cf", "%v", err)
		return
	}
	for _, e := range helo {
		if strings.HasPrefix(e.word, "reject") || strings.HasPrefix(e.word, "defer") {
			r.wrong("postfix-helo", s.String(), override(s, "-o smtpd_helo_restrictions="), "smtpd_helo_restrictions has %s, and is asked before anybody could log in", e.word)
			return
		}
	}
}

// checkQuestion is about how saslguard is asked.
func checkQuestion(r *Report, h *host, s *service, q *question) {
	p := h.postfix
	setting := func(own, name string) string {
		if own != "" {
			return own
		}
		return p.get(s, name)
	}
	fix := "In the check_policy_service of " + s.String() + ":\n  " + policyService(h, s)
	if action := setting(q.defaultAction, "smtpd_policy_service_default_action"); !harmless(action) {
		r.wrong("postfix-default-action", s.String(), fix, "default_action is %q: when saslguard is away, mail and logins stop", action)
	} else {
		r.ok("postfix-default-action", s.String(), "when saslguard is away, mail and logins go on")
	}
	if n, ok := whole(setting(q.tryLimit, "smtpd_policy_service_try_limit")); ok && n == 1 {
		r.wrong("postfix-try-limit", s.String(), fix, "try_limit is 1")
	}
	text := setting(q.timeout, "smtpd_policy_service_timeout")
	if d, ok := postfixTime(text); !ok || d < minPolicyTimeout || d > maxPolicyTimeout {
		r.wrong("postfix-timeout", s.String(), fix, "its timeout is %s; between %v and %v is good", text, minPolicyTimeout, maxPolicyTimeout)
	} else {
		r.ok("postfix-timeout", s.String(), "its timeout is %s", text)
	}
}

// saslguard answers within a second in any case, and a client waits for Postfix's
// greeting for some minutes, but holds a process meanwhile.
const (
	minPolicyTimeout = 2 * time.Second
	maxPolicyTimeout = 10 * time.Second
)

// harmless tells whether an action lets the mail go on.
func harmless(action string) bool {
	switch strings.ToLower(strings.TrimSpace(action)) {
	case "dunno", "ok", "permit":
		return true
	}
	return false
}

// checkContext is about policy_context on a service on which people log in.
func checkContext(r *Report, h *host, s *service, q *question) {
	fix := "In the check_policy_service of " + s.String() + ":\n  " + policyService(h, s)
	for _, c := range h.config.Postfix.Contexts {
		switch {
		case c.Name != q.context:
		case c.Verdicts == "all":
			r.ok("postfix-context", s.String(), "policy_context=%s: all verdicts count", q.context)
			return
		default:
			r.wrong("postfix-context", s.String(), fix, "people log in here, and for policy_context=%s only bans by an operator count", q.context)
			return
		}
	}
	said := "policy_context=" + q.context + " is not in postfix.contexts"
	if q.context == "" {
		said = "there is no policy_context"
	}
	if port25(s) {
		r.wrong("postfix-context", s.String(), fix, "people log in here, %s, and on port 25 only bans by an operator count then", said)
		return
	}
	r.info("postfix-context", s.String(), fix, "%s: it is judged by its port, and all verdicts count", said)
}

// checkMailService is about a service to which other servers deliver.
func checkMailService(r *Report, h *host, s *service) {
	p := h.postfix
	for _, name := range []string{"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_recipient_restrictions"} {
		list, err := p.list(s, name)
		if err != nil {
			r.wrong("postfix-settings", s.String(), "Compare it with: saslguard setup postfix/master.cf", "%v", err)
			continue
		}
		for _, e := range list {
			if e.question == nil || !p.ours(h.config, s, e.question) {
				continue
			}
			checkQuestion(r, h, s, e.question)
			context := e.question.context
			if slices.ContainsFunc(h.config.Postfix.Contexts, func(c policy.Context) bool { return c.Name == context && c.Verdicts == "all" }) || !known(h, context) && !port25(s) {
				r.wrong("postfix-context", s.String(), "In its check_policy_service: policy_context=mx",
					"nobody can log in here, and saslguard's verdicts count (policy_context=%s): mail of servers in bad company would bounce", context)
			}
		}
	}
}

func known(h *host, context string) bool {
	return slices.ContainsFunc(h.config.Postfix.Contexts, func(c policy.Context) bool { return c.Name == context })
}

// checkGuesses is about how many guesses a session is good for, where nobody is
// asked between two of them.
func checkGuesses(r *Report, h *host, s *service) {
	p := h.postfix
	if strings.EqualFold(p.get(s, "smtpd_sasl_type"), "dovecot") && (h.dovecot.err != nil || h.dovecot.asks()) {
		r.ok("postfix-guesses", s.String(), "Dovecot, which asks about every guess, verifies its passwords")
		return
	}
	limit, ok := whole(p.get(s, "smtpd_hard_error_limit"))
	if ok && limit <= maxGuesses {
		r.ok("postfix-guesses", s.String(), "a session ends after %d errors", limit)
		return
	}
	r.wrong("postfix-guesses", s.String(), override(s, "-o smtpd_hard_error_limit=6", "-o smtpd_client_auth_rate_limit=20"),
		"between two guesses of a session nobody is asked, since its passwords are not verified by a Dovecot that asks, and smtpd_hard_error_limit is %s", p.get(s, "smtpd_hard_error_limit"))
}

const maxGuesses = 10

// checkHeld holds the tarpits against the processes they hold.
func checkHeld(r *Report, h *host, s *service) {
	text := s.limit
	if text == "-" {
		text = h.postfix.main["default_process_limit"]
	}
	held := h.config.Rules.Tarpit.HeldPostfix
	limit, ok := whole(text)
	switch {
	case !ok || limit == 0: // 0 is no limit
	case 2*held > limit:
		r.wrong("tarpit-held", s.String(), fmt.Sprintf("In saslguard.yaml:\n  rules:\n    tarpit:\n      held_postfix: %d", limit/4),
			"rules.tarpit.held_postfix is %d, and the service has %d processes at most", held, limit)
	default:
		r.ok("tarpit-held", s.String(), "at most %d of its %d processes are held by tarpits", held, limit)
	}
}

// elsewhere says where else saslguard is asked, if it is.
func elsewhere(h *host, s *service) string {
	for _, name := range []string{"helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn"} {
		name = "smtpd_" + name + "_restrictions"
		list, err := h.postfix.list(s, name)
		if err == nil && slices.ContainsFunc(list, func(e restriction) bool { return e.question != nil && h.postfix.ours(h.config, s, e.question) }) {
			return ", but in " + name + ", which is too late"
		}
	}
	return ""
}

// wiring is what makes a service ask.
func wiring(h *host, s *service) string {
	ask := policyService(h, s)
	if before := h.postfix.get(s, "smtpd_client_restrictions"); before != "" {
		list, _ := h.postfix.list(s, "smtpd_client_restrictions")
		if _, all := rejects(list); !all {
			ask += ", " + before
		}
	}
	return override(s, "-o smtpd_delay_reject=no", "-o { smtpd_client_restrictions = "+ask+" }", "-o smtpd_helo_restrictions=")
}

// policyService is the check_policy_service of a service.
func policyService(h *host, s *service) string {
	address := "inet:127.0.0.1:10035"
	if len(h.config.Postfix.Listen) > 0 {
		address = h.config.Postfix.Listen[0]
		if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
			if inside, err := filepath.Rel(h.postfix.main["queue_directory"], path); err == nil && !strings.HasPrefix(inside, "..") {
				address = "unix:" + inside
			}
		} else {
			address = "inet:" + address
		}
	}
	context := "submission"
	switch _, port, err := net.SplitHostPort(s.name); {
	case s.name == "submissions" || s.name == "smtps":
		context = s.name
	case s.name == "465" || err == nil && port == "465":
		context = "submissions"
	}
	return fmt.Sprintf("check_policy_service { %s, timeout=3s, default_action=DUNNO, policy_context=%s }", address, context)
}

// override is lines of master.cf.
func override(s *service, options ...string) string {
	return "In master.cf, below the line that begins with \"" + s.name + " " + s.kind + "\":\n  " + strings.Join(options, "\n  ") + "\nthen: postfix reload"
}

func port25(s *service) bool {
	_, port, err := net.SplitHostPort(s.name)
	return s.name == "smtp" || s.name == "25" || err == nil && (port == "25" || port == "smtp") || s.kind == "pass"
}

// versionOf reads the beginning of "3.7.11" or "2.3.19.1 (9b53102964)".
func versionOf(s string) (major, minor int, ok bool) {
	_, err := fmt.Sscanf(s, "%d.%d", &major, &minor)
	return major, minor, err == nil
}
