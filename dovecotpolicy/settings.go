package dovecotpolicy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// settings are the part of a Config that a reload replaces, made ready for use.
// They are immutable.
type settings struct {
	refuse      []byte // the answer to a refused question
	staleAfter  time.Duration
	empty       emptyHash
	credentials credentials
	certificate *tls.Certificate // nil: no TLS
}

func newSettings(cfg *Config) (*settings, error) {
	if text := badMessage(cfg.RefuseMessage); text != "" {
		return nil, fmt.Errorf("dovecot: refuse_message %s", text)
	}
	s := &settings{
		// A message that is not bad needs no escapes.
		refuse:      []byte(`{"status":-1,"msg":"` + cfg.RefuseMessage + `"}`),
		staleAfter:  cfg.StaleAfter,
		credentials: newCredentials(cfg),
	}
	if cfg.Nonce != "" {
		s.empty = emptyHash{nonce: cfg.Nonce, sum: hashMech(cfg.HashMech), bits: cfg.HashTruncate}
		if s.empty.sum == nil {
			return nil, fmt.Errorf("dovecot: unknown hash_mech %q", cfg.HashMech)
		}
	}
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		var problems []error
		s.certificate = cfg.certificate(func(key, text string) {
			problems = append(problems, fmt.Errorf("dovecot: %s: %s", key, text))
		})
		if err := errors.Join(problems...); err != nil {
			return nil, err
		}
	}
	return s, nil
}
