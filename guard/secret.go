package guard

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/dchest/siphash"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// secretKind says how much an attempt's password hash tells. Mechanisms that
// send the password give a hash of it; challenge mechanisms send none, and the
// hash is a constant that must not be taken for "the same wrong password".
func secretKind(a *Attempt) score.Secret {
	if a.Hash == "" || a.NoSecret {
		return score.None
	}
	switch {
	case a.Mechanism == "":
		if a.HashChecked {
			return score.Sure
		}
		return score.Unsure
	case equalFold(a.Mechanism, "PLAIN"), equalFold(a.Mechanism, "LOGIN"):
		return score.Sure
	case equalFold(a.Mechanism, "XOAUTH2"), equalFold(a.Mechanism, "OAUTHBEARER"):
		return score.Rotates
	}
	return score.None
}

// equalFold compares ASCII without regard to case; upper is upper case.
func equalFold(s, upper string) bool {
	if len(s) != len(upper) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// hasher makes tokens and guesses under the store's key.
type hasher struct{ k0, k1 uint64 }

func newHasher(key [16]byte) hasher {
	return hasher{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// text hashes a string without copying it to the heap; long ones in pieces.
func (h hasher) text(tag byte, s string) uint64 {
	var b [129]byte
	sum := uint64(len(s))
	for {
		n := copy(b[1:], s)
		b[0] = tag
		sum = siphash.Hash(h.k0^sum, h.k1, b[:n+1])
		if s = s[n:]; s == "" {
			return sum
		}
	}
}

// token hashes what was guessed: the account's password, or, for tokens that
// rotate, the account alone.
func (h hasher) token(account, hash string, kind score.Secret) uint32 {
	switch kind {
	case score.None:
		return 0
	case score.Rotates:
		return uint32(h.text('r', account))
	}
	mask := h.text('a', account)
	// Dovecot's hash has 12 bits. Masked instead of hashed again, different
	// hashes stay different in the 12 bits that a ring keeps.
	if n, err := strconv.ParseUint(hash, 16, 32); err == nil && len(hash) <= 8 {
		return uint32(mask) ^ uint32(n)
	}
	return uint32(mask ^ bits.RotateLeft64(h.text('h', hash), 17))
}

// guess names an attempt, so that both questions about it share a place. An
// attempt with neither session nor a secret that tells passwords apart cannot be
// told from another: 0.
func (h hasher) guess(client netip.Addr, account string, token uint32, kind score.Secret, session string) uint64 {
	if (kind == score.None || kind == score.Unsure) && session == "" {
		return 0
	}
	ip := client.As16()
	var b [36]byte
	copy(b[:], ip[:])
	binary.LittleEndian.PutUint64(b[16:], h.text('a', account))
	binary.LittleEndian.PutUint64(b[24:], h.text('s', session))
	binary.LittleEndian.PutUint32(b[32:], token)
	return siphash.Hash(h.k0, h.k1, b[:]) | 1
}

// pair names an address and an account.
func (h hasher) pair(a netip.Addr, account string) uint64 {
	var b [16 + store.MaxAccount]byte
	ip := a.As16()
	n := copy(b[:], ip[:])
	n += copy(b[n:], account)
	return siphash.Hash(h.k0, h.k1^'p', b[:n]) | 1
}
