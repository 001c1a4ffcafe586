package doctor

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// checkQuestions is about the policy services that Postfix names: whether they
// answer, and whether Postfix may go in.
func checkQuestions(r *Report, h *host) {
	p := h.postfix
	told := map[string]bool{}
	for _, s := range p.services {
		list, err := p.list(s, "smtpd_client_restrictions")
		if err != nil {
			continue
		}
		for _, e := range list {
			if q := e.question; q != nil && p.ours(h.config, s, q) && reachable(r, h, s, q) && !told[q.String()] {
				told[q.String()] = true
				checkAnswers(r, h, s, q)
			}
		}
	}
}

// reachable is about the file of a Unix socket.
func reachable(r *Report, h *host, s *service, q *question) bool {
	if q.network != "unix" {
		return true
	}
	p := h.postfix
	path := p.socket(s, q.address)
	if s.chroot && filepath.IsAbs(q.address) {
		r.wrong("postfix-socket", s.String(), "Use unix:private/saslguard, and in saslguard.yaml:\n  postfix:\n    listen: [\"unix:"+filepath.Join(p.main["queue_directory"], "private/saslguard")+"\"]",
			"the service is chrooted (y in master.cf), and sees %s as %s", q.address, path)
		return false
	}
	if problem := closed(path, p.main["mail_owner"]); problem != "" {
		r.wrong("postfix-socket", s.String(), "Have systemd make it (saslguard setup systemd/saslguard-postfix.socket), or in saslguard.yaml:\n  postfix:\n    socket_mode: \"0660\"\n    socket_owner: "+p.main["mail_owner"],
			"%s", problem)
		return false
	}
	r.ok("postfix-socket", s.String(), "Postfix may go in at %s", path)
	return true
}

// checkAnswers is about what became of our own question.
func checkAnswers(r *Report, h *host, s *service, q *question) {
	switch a, asked := h.postfix.answers[q.String()]; {
	case !asked:
	case os.IsPermission(a.err):
		r.info("postfix-answer", q.String(), "Run saslguard doctor as root.", "%v", a.err)
	case a.err != nil:
		r.wrong("postfix-answer", q.String(), "Start saslguard there, or correct the address in the check_policy_service of "+s.String(), "nobody answers well where Postfix asks: %v", a.err)
	default:
		r.ok("postfix-answer", q.String(), "saslguard answers where Postfix asks")
	}
}

// closed returns why a user cannot connect to a Unix socket; "" if he can, or if
// that cannot be seen.
func closed(path, name string) string {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return path + " is not there"
	case err != nil:
		return ""
	case info.Mode()&os.ModeSocket == 0:
		return path + " is no socket"
	}
	uid, groups, ok := idsOf(name)
	st, isUnix := info.Sys().(*syscall.Stat_t)
	if !ok || !isUnix {
		return ""
	}
	mode := info.Mode().Perm()
	var may bool
	switch {
	case st.Uid == uid:
		may = mode&0o200 != 0
	case groups[st.Gid]:
		may = mode&0o020 != 0
	default:
		may = mode&0o002 != 0
	}
	if may {
		return ""
	}
	return fmt.Sprintf("%s may not write to %s (mode %04o, uid %d, gid %d)", name, path, mode, st.Uid, st.Gid)
}

// idsOf are the ids of a user and of his groups.
func idsOf(name string) (uid uint32, groups map[uint32]bool, ok bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, nil, false
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	groups = map[uint32]bool{}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups[uint32(g)] = true
		}
	}
	return uint32(n), groups, err == nil
}
