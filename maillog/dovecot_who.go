package maillog

import (
	"net/netip"
	"strings"
)

// who is what a line of Dovecot's says of an attempt. The texts are views.
type who struct {
	client      netip.Addr
	login, mech string
}

// dovecotWho reads the fields of a login process's line, "user=<login>,
// method=PLAIN, rip=192.0.2.7, lip=…". A login can hold anything, also all of
// this. Of what follows it nothing is the client's, so the last rip is the true
// one; where an operator's login_log_format has the login behind the address, the
// first is.
func dovecotWho(fields string) (f who, ok bool) {
	user := strings.Index(fields, "user=")
	rip := strings.LastIndex(fields, "rip=")
	if first := strings.Index(fields, "rip="); user < 0 || first < user {
		rip = first
	}
	if rip < 0 || rip > 0 && fields[rip-1] != ' ' {
		return f, false
	}
	text := fields[rip+len("rip="):]
	if end := strings.IndexAny(text, ", "); end >= 0 {
		text = text[:end]
	}
	if f.client, ok = address(text); !ok {
		return f, false
	}
	if user < 0 || user > rip {
		if user < 0 {
			f.mech = dovecotMethod(fields[:rip])
		}
		return f, true
	}
	before := strings.TrimSuffix(fields[user+len("user="):rip], ", ")
	if at := strings.LastIndex(before, ", method="); at >= 0 {
		if mech := before[at+len(", method="):]; mechanism(mech) != "" {
			f.mech, before = mech, before[:at]
		}
	}
	if login, framed := strings.CutPrefix(before, "<"); framed {
		f.login = strings.TrimSuffix(login, ">")
	}
	return f, true
}

// dovecotMethod reads the mechanism where there is no login before it.
func dovecotMethod(fields string) string {
	rest, ok := strings.CutPrefix(fields, "method=")
	if !ok {
		return ""
	}
	mech, _, _ := strings.Cut(rest, ",")
	return mech
}
