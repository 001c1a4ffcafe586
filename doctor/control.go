package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// controlFacts are about the socket of the control API.
type controlFacts struct {
	path string
	mode os.FileMode // 0: it is not there, or not to be seen
}

// systemControl is the control socket of an installed saslguard.
const systemControl = "/run/saslguard/control.sock"

func lookAtControl(configured string) controlFacts {
	c := controlFacts{path: configured}
	if c.path == "" {
		c.path = systemControl
	}
	if info, err := os.Stat(c.path); filepath.IsAbs(c.path) && err == nil && info.Mode()&os.ModeSocket != 0 {
		c.mode = info.Mode().Perm()
	}
	return c
}

func checkControl(r *Report, h *host) {
	switch c := h.control; {
	case c.mode == 0:
	case c.mode&0o002 != 0:
		r.wrong("control-socket", c.path, "In saslguard.yaml:\n  admin:\n    control:\n      socket_mode: \"0660\"\nthen: systemctl restart saslguard", "everybody on this host can open it (mode %04o)", c.mode)
	default:
		r.ok("control-socket", c.path, "its owner and group can open it (mode %04o)", c.mode)
	}
}

// checkLogs is about services whose logins come by two ways.
func checkLogs(r *Report, h *host) {
	c := h.config.Maillog
	if !c.Enabled() || !h.dovecot.asks() {
		return
	}
	reported := []string{"imap", "pop3", "sieve"}
	if slices.ContainsFunc(h.postfix.services, func(s *service) bool {
		return h.postfix.is(s, "smtpd_sasl_auth_enable") && strings.EqualFold(h.postfix.get(s, "smtpd_sasl_type"), "dovecot")
	}) {
		reported = append(reported, "smtp")
	}
	var both []string
	for _, s := range c.Services {
		if slices.Contains(reported, s) {
			both = append(both, s)
		}
	}
	if len(both) > 0 {
		r.wrong("log-reported", strings.Join(both, ", "), "In saslguard.yaml, without them:\n  maillog:\n    services: ["+strings.Join(slices.DeleteFunc(slices.Clone(c.Services), func(s string) bool { return slices.Contains(both, s) }), ", ")+"]",
			"maillog.services has what Dovecot reports itself")
	} else {
		r.ok("log-reported", "", "what is read from logs is not reported by Dovecot")
	}
}
