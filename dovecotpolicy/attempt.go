package dovecotpolicy

import (
	"net/netip"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// maxHash is the longest password hash that is believed, in bytes: sha512 in
// hexadecimal.
const maxHash = 128

// attempt makes an Attempt of the attributes. Its strings are a copy, since a
// report is queued longer than the body lives; all in one, so that it costs one
// allocation. Client is invalid if remote is.
func (f *fields) attempt(set *settings) guard.Attempt {
	a := guard.Attempt{
		Face:      guard.Dovecot,
		Service:   known(f.protocol),
		Mechanism: known(f.mechanism),
	}
	hash := f.hash
	if !isHash(hash) || len(f.login) == 0 {
		// Without a login nothing was guessed, and what Dovecot hashed is not a
		// password: equal hashes must not make one attempt of many.
		hash = nil
	}
	if !sendsPassword(a.Mechanism) {
		a.NoSecret, a.HashChecked = set.empty.look(hash, f.login)
	}

	var room [256]byte
	text := append(room[:0], f.login...)
	text = append(text, hash...)
	text = append(text, f.session...)
	text = append(text, f.remote...)
	all := string(text)

	cut := func(n int) (s string) { s, all = all[:n], all[n:]; return s }
	a.Login = cut(len(f.login))
	a.Hash = cut(len(hash))
	a.Session = cut(len(f.session))
	if client, err := netip.ParseAddr(all); err == nil {
		a.Client = client.WithZone("") // Dovecot has none, and they would be anybody's strings
	}
	return a
}

// outcome is what a report tells about the attempt.
//
// An `expired` or `disabled` account counts for nothing: Dovecot says so where
// the password was right or was not looked at, so that these are the owner's
// own devices, and what somebody else would guess there opens nothing.
func (f *fields) outcome() score.Outcome {
	if f.success {
		if f.policyReject {
			// Only with auth_policy_log_only: refused, and let in all the same.
			return score.Ignored
		}
		return score.Success
	}
	if f.policyReject {
		return score.Refused
	}
	switch string(f.failType) {
	case "policy":
		return score.Refused
	case "account":
		return score.UnknownAccount
	case "internal", "expired", "disabled":
		return score.Ignored
	default:
		// "credentials"; "" of Dovecot 2.3, and of 2.4 for CRAM and SCRAM; and
		// whatever later versions may add.
		return score.Failure
	}
}

// known returns a protocol or a mechanism as a string, without an allocation
// for those that occur.
func known(name []byte) string {
	switch string(name) {
	case "imap":
		return "imap"
	case "pop3":
		return "pop3"
	case "smtp":
		return "smtp"
	case "submission":
		return "submission"
	case "sieve":
		return "sieve"
	case "PLAIN":
		return "PLAIN"
	case "LOGIN":
		return "LOGIN"
	case "CRAM-MD5":
		return "CRAM-MD5"
	case "SCRAM-SHA-1":
		return "SCRAM-SHA-1"
	case "SCRAM-SHA-256":
		return "SCRAM-SHA-256"
	case "XOAUTH2":
		return "XOAUTH2"
	case "OAUTHBEARER":
		return "OAUTHBEARER"
	default:
		return string(name)
	}
}

// sendsPassword says whether a mechanism sends the password itself, so that a
// hash that happens to be that of the empty password (1 in 4096) is not taken
// for it.
func sendsPassword(mechanism string) bool {
	return mechanism == "PLAIN" || mechanism == "LOGIN"
}

// isHash says whether text can be a password hash.
func isHash(text []byte) bool {
	if len(text) > maxHash {
		return false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
