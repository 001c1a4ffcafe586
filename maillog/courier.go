package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// courier reads a line of Courier's imapd or pop3d:
//
//	LOGIN FAILED, user=alice, ip=[::ffff:192.0.2.7], port=[4711]
//	LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[4711], protocol=IMAP
//
// The login stands before the address, so the last address is the true one.
func (p *Parser) courier(m string) (Class, string) {
	outcome := score.Failure
	rest, ok := strings.CutPrefix(m, "LOGIN FAILED, ")
	if !ok {
		if rest, ok = strings.CutPrefix(m, "LOGIN, "); !ok {
			return p.unknown(m)
		}
		outcome = score.Success
	}
	at := strings.LastIndex(rest, "ip=[")
	if at < 0 || at > 0 && !strings.HasSuffix(rest[:at], ", ") {
		return p.courierUnclear(m)
	}
	client, tail, ok := bracketed(rest[at+len("ip="):])
	if !ok || tail != "" && !strings.HasPrefix(tail, ", ") {
		return p.courierUnclear(m)
	}
	if p.maybeCut() {
		return Login, whyAmbiguous
	}
	who := strings.TrimSuffix(rest[:at], ", ")
	login, named := strings.CutPrefix(who, "user=")
	mech, _ := strings.CutPrefix(who, "method=")
	if named {
		mech = ""
	}
	if outcome == score.Success && login == "" {
		return Other, ""
	}
	if !named {
		login = ""
	}
	p.found(client, login, mech, outcome, 1)
	return Login, ""
}

func (p *Parser) courierUnclear(m string) (Class, string) {
	if strings.HasPrefix(m, "LOGIN FAILED") {
		return Unknown, ""
	}
	return Other, ""
}

// courierSMTP reads a line of courieresmtpd, where the client comes first:
//
//	error,relay=::ffff:192.0.2.7,port=4711,msg="535 Authentication failed.",cmd: YWRtaW4=
func (p *Parser) courierSMTP(m string) (Class, string) {
	rest, ok := strings.CutPrefix(m, "error,relay=")
	if !ok {
		return Other, "" // it quotes the client
	}
	text, rest, _ := strings.Cut(rest, ",")
	if port, ok := strings.CutPrefix(rest, "port="); ok {
		if _, after, ok := number(port); ok {
			rest = strings.TrimPrefix(after, ",")
		}
	}
	if !strings.HasPrefix(rest, `msg="535 Authentication failed`) {
		return Other, ""
	}
	client, ok := address(text)
	if !ok {
		return Unknown, ""
	}
	p.found(client, "", "", score.Failure, 1)
	return Login, ""
}
