package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// zimbra reads a line of Zimbra's audit.log:
//
//	[qtp1:https] [name=alice@example.org;oip=192.0.2.7;ua=…;] security - cmd=Auth; account=alice@example.org; protocol=soap; error=authentication failed for [alice@example.org], invalid password;
//
// oip is the client as a trusted proxy has told it, ip the one who has connected.
// mailbox.log says the same in other words, which are not counted again.
func (p *Parser) zimbra(m string) (Class, string) {
	_, rest, ok := strings.Cut(m, "] [")
	context, rest, ok2 := strings.Cut(rest, "] ")
	if !ok || !ok2 {
		return Other, ""
	}
	rest, ok = strings.CutPrefix(rest, "security - cmd=")
	if !ok {
		return Other, ""
	}
	cmd, rest, _ := strings.Cut(rest, "; ")
	if cmd != "Auth" && cmd != "AdminAuth" {
		return Other, ""
	}
	ip := zimbraAddress(context)
	client, known := address(ip)
	login, _, _ := strings.Cut(strings.TrimPrefix(rest, "account="), ";")
	p.service = zimbraProtocol(rest)
	why, failed := zimbraError(rest)
	switch {
	case !failed:
		if !known || !strings.HasPrefix(rest, "account=") {
			return Other, ""
		}
		p.found(client, login, "", score.Success, 1)
		return Login, ""
	case strings.Contains(why, "temporary") || strings.Contains(why, "LDAP"):
		return Login, whyBackend
	case !known:
		return Login, whyAmbiguous
	case strings.HasSuffix(why, "account not found") || strings.HasSuffix(why, "no such account"):
		p.found(client, login, "", score.UnknownAccount, 1)
	default:
		p.found(client, login, "", score.Failure, 1)
	}
	return Login, ""
}

// zimbraError returns what follows "error=authentication failed for".
func zimbraError(m string) (why string, failed bool) {
	_, why, failed = strings.Cut(m, "; error=authentication failed for ")
	return strings.TrimRight(why, "; "), failed
}

// zimbraAddress returns oip, else ip, of a context "name=…;oip=…;ua=…;". What is
// behind the user agent's name may be a part of it, so an address that stands
// there, or stands there also, is none.
func zimbraAddress(context string) string {
	var oip, ip string
	named := false // the client's own words have begun
	for context != "" {
		var field string
		field, context, _ = strings.Cut(context, ";")
		if strings.HasPrefix(field, "ua=") || strings.HasPrefix(field, "via=") {
			named = true
		} else if v, ok := strings.CutPrefix(field, "oip="); ok {
			if oip != "" || named {
				return ""
			}
			oip = v
		} else if v, ok := strings.CutPrefix(field, "ip="); ok {
			if ip != "" || named {
				return ""
			}
			ip = v
		}
	}
	if oip != "" {
		return oip
	}
	return ip
}

func zimbraProtocol(m string) string {
	_, rest, _ := strings.Cut(m, "protocol=")
	name, _, _ := strings.Cut(rest, ";")
	switch name {
	case "imap":
		return "imap"
	case "pop3":
		return "pop3"
	}
	return ""
}
