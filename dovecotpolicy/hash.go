package dovecotpolicy

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
)

// emptyHash knows what Dovecot sends as pwhash for a login where no password
// was sent, as with CRAM and SCRAM: the hash of the nonce, the login, a zero
// byte and nothing. The zero emptyHash recognises nothing.
type emptyHash struct {
	nonce string
	sum   func(out, data []byte) []byte
	bits  int
}

// hashMech returns the hash that Dovecot calls by a name, or nil.
func hashMech(name string) func(out, data []byte) []byte {
	switch name {
	case "md5":
		return func(out, data []byte) []byte { h := md5.Sum(data); return append(out, h[:]...) }
	case "sha1":
		return func(out, data []byte) []byte { h := sha1.Sum(data); return append(out, h[:]...) }
	case "sha256":
		return func(out, data []byte) []byte { h := sha256.Sum256(data); return append(out, h[:]...) }
	case "sha384":
		return func(out, data []byte) []byte { h := sha512.Sum384(data); return append(out, h[:]...) }
	case "sha512":
		return func(out, data []byte) []byte { h := sha512.Sum512(data); return append(out, h[:]...) }
	case "sha3-256":
		return func(out, data []byte) []byte { h := sha3.Sum256(data); return append(out, h[:]...) }
	case "sha3-512":
		return func(out, data []byte) []byte { h := sha3.Sum512(data); return append(out, h[:]...) }
	default:
		return nil
	}
}

// look says whether a pwhash is that of no password for the login. It has not
// looked where it could not tell: without a nonce, and where hash_mech and
// hash_truncate, by the length of what they give, are not Dovecot's.
func (e *emptyHash) look(pwhash, login []byte) (empty, looked bool) {
	if e.sum == nil || len(pwhash) == 0 {
		return false, false
	}
	var room [512]byte
	data := append(room[:0], e.nonce...)
	data = append(data, login...)
	data = append(data, 0)
	var sum [64]byte
	var text [maxHash]byte
	want := hex.AppendEncode(text[:0], truncate(e.sum(sum[:0], data), e.bits))
	return bytes.EqualFold(pwhash, want), len(pwhash) == len(want)
}

// truncate keeps the first bits of a digest as Dovecot does: shifted right, so
// that the unused bits are the first ones. 0 bits, or more than there are, keep
// all. It changes digest.
func truncate(digest []byte, bits int) []byte {
	if bits <= 0 || bits > 8*len(digest) {
		return digest
	}
	digest = digest[:(bits+7)/8]
	shift := uint(-bits & 7)
	for i := len(digest) - 1; i >= 0 && shift > 0; i-- {
		digest[i] >>= shift
		if i > 0 {
			digest[i] |= digest[i-1] << (8 - shift)
		}
	}
	return digest
}
