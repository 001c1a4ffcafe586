package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
)

// controlFacts are about the control socket, and what is told there.
type controlFacts struct {
	path   string
	mode   os.FileMode // 0: it is not there, or not to be seen
	err    error       // why nobody answers; nil: status and names are known
	status api.Status
	names  []api.Entry // host names of the allowlist that cannot be resolved
}

// controlTimeout bounds all that is asked at the control socket.
const controlTimeout = 8 * time.Second

func lookAtControl(ctx context.Context, o Options) controlFacts {
	c := controlFacts{path: o.Socket, err: o.SocketProblem}
	if c.err != nil {
		return c
	}
	if info, err := os.Stat(c.path); filepath.IsAbs(c.path) && err == nil && info.Mode()&os.ModeSocket != 0 {
		c.mode = info.Mode().Perm()
	}
	c.err = c.ask(ctx)
	return c
}

func (c *controlFacts) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	cl, err := client.New(client.Options{Address: "unix:" + c.path})
	if err != nil {
		return err
	}
	defer cl.Close()
	if c.status, err = cl.Status(ctx); err != nil || len(c.status.UnresolvedNames) == 0 {
		return err
	}
	listed, err := cl.Allowed(ctx, api.BansQuery{})
	for i := range listed.Entries {
		if listed.Entries[i].Unresolved != "" {
			c.names = append(c.names, listed.Entries[i])
		}
	}
	return err
}

func checkControl(r *Report, h *host) {
	c := &h.control
	switch {
	case c.mode == 0:
	case c.mode&0o002 != 0:
		r.wrong("control-socket", c.path, "In saslguard.yaml:\n  admin:\n    control:\n      socket_mode: \"0660\"\nthen: systemctl restart saslguard", "everybody on this host can open it (mode %04o)", c.mode)
	default:
		r.ok("control-socket", c.path, "its owner and group can open it (mode %04o)", c.mode)
	}
	switch {
	case c.err == nil:
		r.ok("control-answers", c.path, "status, bans and the like can be asked")
	case errors.Is(c.err, fs.ErrPermission), strings.Contains(c.err.Error(), "permission denied"):
		r.info("control-answers", c.path, "Run saslguard doctor as root.", "%v", c.err)
	case h.running.err != nil || h.config.Admin.Control.Socket == "none":
		r.info("control-answers", c.path, "If it is somewhere else: saslguard doctor --socket PATH", "%v", c.err)
	default:
		r.wrong("control-answers", c.path, "If it is somewhere else: saslguard doctor --socket PATH; or set admin.control.socket", "%v", c.err)
	}
}

// slowHost is for how long a host may not know of a change before that is odd.
const slowHost = 30 * time.Second

// checkCluster holds the hosts of the cluster against each other.
func checkCluster(r *Report, h *host) {
	s := &h.control.status
	if h.control.err != nil || s.Store != "redis" {
		return
	}
	if s.Note != "" {
		r.info("cluster-version", "", "", "%s", s.Note)
		return
	}
	others, modes, late := []string{}, []string{}, []string{}
	for i := range s.Hosts {
		o := &s.Hosts[i]
		if o.Version == "" {
			continue // only its firewall agent speaks
		}
		if o.Version != s.Version {
			others = append(others, o.Name+" "+o.Version)
		}
		if o.Mode != s.Mode {
			modes = append(modes, o.Name+" "+o.Mode)
		}
		if o.Lag > slowHost.Seconds() {
			late = append(late, o.Name)
		}
	}
	judge := func(id string, wrong []string, fix, found, fine string) {
		if len(wrong) > 0 {
			r.wrong(id, strings.Join(wrong, ", "), fix, "%s", found)
		} else {
			r.ok(id, "", "%s", fine)
		}
	}
	judge("cluster-version", others, "Upgrade and restart saslguard there, or here.", "these hosts run another version than this one ("+s.Version+")", "all hosts run the same version")
	judge("cluster-mode", modes, "The same mode: on all hosts.", "these hosts are in another mode than this one ("+s.Mode+")", "all hosts are in the same mode")
	judge("cluster-lag", late, "On those hosts: saslguard health, and the log.", "these hosts have not known the latest ban or unban for more than "+slowHost.String(), "all hosts know the latest ban")
}

// checkNames is about host names of the allowlist.
func checkNames(r *Report, h *host) {
	if h.control.err != nil {
		return
	}
	for i := range h.control.names {
		n := &h.control.names[i]
		r.wrong("allow-names", n.Name, "Correct the name or the resolver; or: saslguard allow remove "+n.Name, "it is on the allowlist and cannot be resolved: %s", n.Unresolved)
	}
	if len(h.control.names) == 0 {
		r.ok("allow-names", "", "all host names of the allowlist are resolved")
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
