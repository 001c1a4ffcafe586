package maillog

import (
	"strings"

	"github.com/saslguard/saslguard/score"
)

// mailbox reads a line of a program called imapd, pop3d or the like, as Cyrus,
// Courier and UW all do. Which one it is, the message's first word says, and where
// that is none that is known, what was understood before.
func (p *Parser) mailbox(m string) (Class, string) {
	switch {
	case strings.HasPrefix(m, "badlogin: "), strings.HasPrefix(m, "login: "):
		p.kind, p.mailboxes = "cyrus", "cyrus"
		return p.cyrus(m)
	case strings.HasPrefix(m, "LOGIN"):
		p.kind, p.mailboxes = "courier", "courier"
		return p.courier(m)
	case strings.HasPrefix(m, "Login"), strings.HasPrefix(m, "Auth"), strings.HasPrefix(m, "AUTHENTICATE"):
		p.kind, p.mailboxes = "uw-imap", "uw-imap"
		return p.uwimap(m)
	}
	if p.mailboxes != "" {
		p.kind = p.mailboxes
	}
	return p.unknown(m)
}

// cyrus reads a line of Cyrus IMAP's, where the client comes first:
//
//	badlogin: mx.example [192.0.2.7] plaintext alice SASL(-13): authentication failure: checkpass failed
//	badlogin: mx.example [192.0.2.7] CRAM-MD5 [SASL(-13): authentication failure: incorrect digest response]
//	login: mx.example [192.0.2.7] alice plaintext+TLS User logged in SESSIONID=<…>
func (p *Parser) cyrus(m string) (Class, string) {
	kind, rest, ok := strings.Cut(m, ": ")
	client, rest, known := hostAddress(rest)
	word, rest, spaced := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	if !ok || !known || !spaced {
		return p.unknown(m)
	}
	if kind == "login" {
		mech, rest, _ := strings.Cut(rest, " ")
		mech = strings.TrimSuffix(mech, "+TLS")
		if !strings.HasPrefix(rest, "User logged in") || mechanism(mech) == "" {
			return Other, ""
		}
		p.found(client, word, cyrusMech(mech), score.Success, 1)
		return Login, ""
	}
	mech := word
	if rest == "authentication failure" { // timsieved
		p.found(client, "", mech, score.Failure, 1)
		return Login, ""
	}
	if login, ok := strings.CutSuffix(rest, " invalid user"); ok && mech == "plaintext" {
		p.found(client, login, "PLAIN", score.UnknownAccount, 1)
		return Login, ""
	}
	// The login stands before the result, and some results quote it.
	first, last := strings.Index(rest, "SASL("), strings.LastIndex(rest, "SASL(")
	if first < 0 {
		return p.unknown(m)
	}
	outcome, why := saslCode(rest[last:])
	if other, otherWhy := saslCode(rest[first:]); other != outcome || otherWhy != why {
		return Login, whyAmbiguous
	}
	if why != "" {
		return Login, why
	}
	login := ""
	if mech == "plaintext" && first == last {
		login = strings.TrimRight(rest[:first], " [")
		if strings.HasPrefix(login, "(") && strings.HasSuffix(login, ")") && len(login) > 1 {
			login = login[1 : len(login)-1]
		}
	}
	p.found(client, login, cyrusMech(mech), outcome, 1)
	return Login, ""
}

// cyrusMech names what Cyrus calls plaintext, IMAP's LOGIN and POP3's PASS.
func cyrusMech(mech string) string {
	if mech == "plaintext" {
		return "PLAIN"
	}
	return mech
}
