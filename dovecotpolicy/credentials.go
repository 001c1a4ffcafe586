package dovecotpolicy

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// credentials are what a request must carry: the API key or Basic
// authentication, whichever are configured. They are kept and compared as
// hashes, so that neither a byte nor the length shows in the time it takes.
type credentials struct {
	key, basic secret
}

type secret struct {
	set bool
	sum [sha256.Size]byte
}

func newSecret(text string) secret {
	return secret{set: true, sum: sha256.Sum256([]byte(text))}
}

func (s *secret) is(text []byte) bool {
	if !s.set || len(text) == 0 {
		return false
	}
	sum := sha256.Sum256(text)
	return subtle.ConstantTimeCompare(sum[:], s.sum[:]) == 1
}

func newCredentials(cfg *Config) credentials {
	var c credentials
	if cfg.APIKey != "" {
		c.key = newSecret(cfg.APIKey)
	}
	if cfg.User != "" {
		c.basic = newSecret(base64.StdEncoding.EncodeToString([]byte(cfg.User + ":" + cfg.Password)))
	}
	return c
}

// required says whether any are configured.
func (c *credentials) required() bool { return c.key.set || c.basic.set }

// admit says whether a request with these headers may be answered.
func (c *credentials) admit(apiKey, authorization []byte) bool {
	return !c.required() || c.key.is(apiKey) || c.basic.is(basicToken(authorization))
}

// basicToken returns what follows the scheme in `Authorization: Basic …`
// (RFC 7617), or nothing.
func basicToken(authorization []byte) []byte {
	const scheme = "basic "
	if len(authorization) < len(scheme) {
		return nil
	}
	for i := range len(scheme) - 1 {
		if authorization[i]|0x20 != scheme[i] {
			return nil
		}
	}
	if authorization[len(scheme)-1] != ' ' {
		return nil
	}
	return authorization[len(scheme):]
}
